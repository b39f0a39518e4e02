//! Users of the crowd who are connected, each by a WebSocket of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use uuid::Uuid;

use crate::{
    crowd::{EVERY, connected, secret, user},
    process::{PATIENCE, Server},
};

/// Of how many users the connections come from one address: people have addresses of their own,
/// and the server limits what each may do.
const USERS_AN_ADDRESS: usize = 40;

/// How many connections are opened at the same time.
const OPENING: usize = 32;

/// A notification that came to a connected user.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The user's number.
    pub(crate) user: usize,
    pub(crate) id: Uuid,
    pub(crate) seq: u64,
    pub(crate) scheduled_for: Timestamp,
    pub(crate) at: Timestamp,
}

/// Connected users.
pub(crate) struct Audience {
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// Everybody's channel is of this epoch.
    pub(crate) epoch: String,
    _listening: JoinSet<()>,
}

impl Audience {
    /// Connects that many users; they recover what came after the offset of the epoch.
    pub(crate) async fn connect(server: &Server, users: usize, since: Option<(u64, &str)>) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let since = since.map(|(offset, epoch)| (offset, epoch.to_owned()));
        let connecting = stream::iter(connected(users)).map(|number| {
            let (url, arrived, since) = (server.url.clone(), arrived.clone(), since.clone());
            async move { Member::connect(&url, number, since, arrived).await }
        });
        let members: Vec<_> = connecting.buffer_unordered(OPENING).collect().await;
        let epoch = members[0].epoch.clone();
        let mut listening = JoinSet::new();
        for member in members {
            listening.spawn(member.listen());
        }
        Self {
            arrivals,
            epoch,
            _listening: listening,
        }
    }

    /// Waits until each of that many users has a notification for the instant: for each, all
    /// that came for it, the first one first.
    pub(crate) async fn hear(
        &mut self,
        users: usize,
        at: Timestamp,
    ) -> BTreeMap<usize, Vec<Arrival>> {
        let mut heard = BTreeMap::<usize, Vec<Arrival>>::new();
        while heard.len() < users {
            let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
            let Ok(Some(arrival)) = next else {
                let missing = connected(users).find(|user| !heard.contains_key(user));
                panic!("of {users}, {} have heard; not {missing:?}", heard.len());
            };
            if arrival.scheduled_for == at {
                heard.entry(arrival.user).or_default().push(arrival);
            }
        }
        // What is on its way a second time may come.
        while let Ok(arrival) = self.arrivals.try_recv() {
            if arrival.scheduled_for == at {
                heard.entry(arrival.user).or_default().push(arrival);
            }
        }
        heard
    }
}

/// Asserts that each user heard of one notification, of whatever came again, under the right
/// number; the notifications' ids.
pub(crate) fn each_heard_one(
    heard: &BTreeMap<usize, Vec<Arrival>>,
    seq: u64,
) -> BTreeMap<Uuid, Uuid> {
    let one = |(number, arrivals): (&usize, &Vec<Arrival>)| {
        let ids: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.id).collect();
        assert_eq!(ids.len(), 1, "user {number}: {arrivals:?}");
        let seqs: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.seq).collect();
        assert_eq!(seqs, BTreeSet::from([seq]), "user {number}: {arrivals:?}");
        (user(*number), arrivals[0].id)
    };
    heard.iter().map(one).collect()
}

struct Member {
    number: usize,
    socket: WebSocketStream<TcpStream>,
    epoch: String,
    arrived: mpsc::UnboundedSender<Arrival>,
}

impl Member {
    async fn connect(
        url: &str,
        number: usize,
        since: Option<(u64, String)>,
        arrived: mpsc::UnboundedSender<Arrival>,
    ) -> Self {
        let host = url.strip_prefix("http://").unwrap();
        let tcp = TcpSocket::new_v4().unwrap();
        let address = number / EVERY / USERS_AN_ADDRESS;
        let address = Ipv4Addr::new(127, 1, (address / 250) as u8, (address % 250 + 1) as u8);
        tcp.bind((address, 0).into()).unwrap();
        let tcp = tcp.connect(host.parse().unwrap()).await.unwrap();
        let mut request = format!("ws://{host}/ws").into_client_request().unwrap();
        let bearer = format!("Bearer {}", secret(number)).parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (socket, _) = client_async(request, tcp).await.unwrap();
        let mut member = Self {
            number,
            socket,
            epoch: String::new(),
            arrived,
        };
        let channel = format!("user:{}", user(number));
        let recover = since.map(|(offset, epoch)| {
            json!({&channel: {"recover": true, "offset": offset, "epoch": epoch}})
        });
        let connect = json!({"id": 1, "connect": {"subs": recover.unwrap_or(json!({}))}});
        member
            .socket
            .send(Message::text(connect.to_string()))
            .await
            .unwrap();
        while member.epoch.is_empty() {
            let message = tokio::time::timeout(PATIENCE, member.socket.next()).await;
            member.take(message.unwrap().unwrap().unwrap()).await;
        }
        member
    }

    /// Goes on until the connection ends.
    async fn listen(mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            self.take(message).await;
        }
    }

    async fn take(&mut self, message: Message) {
        let at = Timestamp::now();
        let Message::Text(text) = message else { return };
        for line in text.lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            if message == json!({}) {
                // A ping. Whether the answer gets through shows at the next message.
                let _ = self.socket.send(Message::text("{}")).await;
            }
            let channel = format!("user:{}", user(self.number));
            let subscribed = &message["connect"]["subs"][&channel];
            if let Some(epoch) = subscribed["epoch"].as_str() {
                epoch.clone_into(&mut self.epoch);
            }
            let recovered = subscribed["publications"].as_array();
            let pushed = Some(&message["push"]["pub"]).filter(|publication| !publication.is_null());
            for publication in recovered.into_iter().flatten().chain(pushed) {
                self.hear(&publication["data"]["notification"], at);
            }
        }
    }

    fn hear(&self, notification: &Value, at: Timestamp) {
        let text = |field: &str| notification[field].as_str().unwrap();
        let arrival = Arrival {
            user: self.number,
            id: text("id").parse().unwrap(),
            seq: notification["seq"].as_u64().unwrap(),
            scheduled_for: text("scheduled_for").parse().unwrap(),
            at,
        };
        // Nobody asks any more once the test is over.
        let _ = self.arrived.send(arrival);
    }
}

/// Waits until something is so; looks ten times a second.
pub(crate) async fn wait_until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let polled = tokio::time::timeout(2 * PATIENCE, polled).await;
    assert!(polled.is_ok(), "never: {what}");
}
