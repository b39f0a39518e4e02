//! A client on bare tokio-tungstenite, and hubs for it to talk to.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use steadfast_clock::{Clock, Instant, SystemClock};
use steadfast_ws_hub::{
    Handshake, Hub, HubBuilder, Payload,
    testing::{OpenAuthorizer, TokenAuthenticator},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        protocol::{Role, WebSocketConfig},
    },
};

/// Longer than anything here takes, so that a hang is a failure and not a stuck run.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client<S> {
    pub(crate) socket: WebSocketStream<S>,
    lines: VecDeque<Value>,
    next_id: u32,
}

/// How a connection ended: the close code, or `None` without a close frame.
pub(crate) type Closed = Option<u16>;

pub(crate) fn builder() -> HubBuilder {
    Hub::builder()
        .authenticator(Arc::new(TokenAuthenticator))
        .authorizer(Arc::new(OpenAuthorizer))
}

pub(crate) async fn started(builder: HubBuilder) -> Hub {
    let hub = builder.build().unwrap();
    hub.start().await;
    hub
}

/// Serves a started hub on a port of its own.
pub(crate) async fn serve(hub: &Hub) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hub = hub.clone();
    spawn(async move { hub.serve(listener).await.unwrap() });
    address
}

#[expect(clippy::disallowed_methods, reason = "the test's own runtime ends it")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

pub(crate) async fn dial(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Client<TcpStream>, tungstenite::Error> {
    let stream = TcpStream::connect(address).await?;
    let url = format!("ws://{address}{path}");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let dialled = timeout(PATIENCE, client_async(request, stream)).await;
    dialled.unwrap().map(|(socket, _)| Client::new(socket))
}

/// A client that is connected over a real socket.
pub(crate) async fn connect(address: SocketAddr, user: &str) -> Client<TcpStream> {
    let mut client = dial(address, "/", &[]).await.unwrap();
    client.hello(user).await;
    client
}

/// A client over a pipe that holds `buffer` bytes; time may be paused.
pub(crate) async fn pipe(hub: &Hub, buffer: usize) -> Client<DuplexStream> {
    pipe_with(hub, buffer, Handshake::default()).await
}

pub(crate) async fn pipe_with(
    hub: &Hub,
    buffer: usize,
    handshake: Handshake,
) -> Client<DuplexStream> {
    let (ours, theirs) = duplex(buffer);
    let hub = hub.clone();
    spawn(async move {
        let _ = hub.serve_stream(theirs, handshake).await;
    });
    let config = WebSocketConfig::default().read_buffer_size(1024);
    Client::new(WebSocketStream::from_raw_socket(ours, Role::Client, Some(config)).await)
}

pub(crate) fn payload(value: impl serde::Serialize) -> Payload {
    Payload::encode(&value).unwrap()
}

/// Tokio's time, paused or not.
pub(crate) fn now() -> Instant {
    SystemClock.monotonic()
}

pub(crate) fn since(start: Instant) -> Duration {
    now() - start
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            lines: VecDeque::new(),
            next_id: 1,
        }
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        let message = Message::text(text.into());
        self.socket.send(message).await.unwrap();
    }

    /// Sends a command and returns its reply; pushes that come before it are kept.
    pub(crate) async fn call(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = id.into();
        self.send_text(command.to_string()).await;
        let mut before = VecDeque::new();
        loop {
            let line = self.next_line().await;
            if line["id"] == id {
                before.append(&mut self.lines);
                self.lines = before;
                return line;
            }
            before.push_back(line);
        }
    }

    pub(crate) async fn hello(&mut self, user: &str) -> Value {
        let reply = self.call(json!({"connect": {"token": user}})).await;
        assert!(reply["connect"].is_object(), "{reply}");
        reply["connect"].clone()
    }

    pub(crate) async fn subscribe(&mut self, topic: &str) -> Value {
        let reply = self.call(json!({"subscribe": {"channel": topic}})).await;
        assert!(reply["subscribe"].is_object(), "{reply}");
        reply["subscribe"].clone()
    }

    pub(crate) async fn recover(&mut self, topic: &str, offset: u64, epoch: &str) -> Value {
        let subscribe =
            json!({"channel": topic, "recover": true, "offset": offset, "epoch": epoch});
        let reply = self.call(json!({ "subscribe": subscribe })).await;
        reply["subscribe"].clone()
    }

    /// The error code of the reply to a command.
    pub(crate) async fn refused(&mut self, command: Value) -> u64 {
        let reply = self.call(command).await;
        let code = &reply["error"]["code"];
        code.as_u64().unwrap_or_else(|| panic!("no error: {reply}"))
    }

    /// The next line that is not a ping; pings are answered.
    pub(crate) async fn next_line(&mut self) -> Value {
        loop {
            if let Some(line) = self.lines.pop_front() {
                if line == json!({}) {
                    self.send_text("{}").await;
                    continue;
                }
                return line;
            }
            self.receive().await.expect("a message, not the end");
        }
    }

    /// The data and offset of the next publication in `topic`.
    pub(crate) async fn publication(&mut self, topic: &str) -> (Value, Option<u64>) {
        let line = self.next_line().await;
        let push = &line["push"];
        assert_eq!(push["channel"], topic, "{line}");
        let publication = &push["pub"];
        assert!(publication.is_object(), "{line}");
        (publication["data"].clone(), publication["offset"].as_u64())
    }

    /// The code of the next push, which must end a subscription.
    pub(crate) async fn unsubscribed(&mut self, topic: &str) -> u64 {
        let line = self.next_line().await;
        assert_eq!(line["push"]["channel"], topic, "{line}");
        line["push"]["unsubscribe"]["code"].as_u64().unwrap()
    }

    /// What the hub closes with; lines before it are thrown away, pings not answered.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.receive().await {
                return closed;
            }
        }
    }

    /// True if nothing but pings is there, judged by a command whose reply must come next.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let reply = self.call(json!({"ping": {}})).await;
        assert!(reply["ping"].is_object());
        self.lines.iter().all(|line| *line == json!({}))
    }

    /// Reads one frame into the lines.
    pub(crate) async fn receive(&mut self) -> Result<(), Closed> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            match message.expect("the hub says something") {
                Some(Ok(Message::Text(text))) => {
                    for line in text.split('\n') {
                        self.lines.push_back(serde_json::from_str(line).unwrap());
                    }
                    return Ok(());
                }
                Some(Ok(Message::Close(frame))) => {
                    // Sends the answer.
                    let _ = self.socket.close(None).await;
                    let _ = timeout(PATIENCE, self.socket.next()).await;
                    return Err(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// How many lines have come, once each frame of the moment is read.
    pub(crate) fn lines(&self) -> &VecDeque<Value> {
        &self.lines
    }
}
