//! How the process ends: what is served while it drains, and what becomes of those connected.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{
    Router,
    response::sse::{Event, Sse},
    routing::get,
};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::Client,
    process::{PATIENCE, Server},
};

/// A connection that is kept open between its requests.
struct KeptAlive(TcpStream);

impl KeptAlive {
    async fn open(server: &Server) -> Self {
        let address = server.url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// The head of the answer to a request without a body.
    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let whole = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
            let (head, body) = text.split_once("\r\n\r\n")?;
            let (_, length) = head.split_once("content-length: ")?;
            let length: usize = length.lines().next()?.parse().ok()?;
            (body.len() >= length).then(|| head.to_owned())
        };
        loop {
            if let Some(head) = whole(&answer) {
                return head;
            }
            let read = self.0.read_buf(&mut answer);
            let read = tokio::time::timeout(PATIENCE, read).await.unwrap();
            assert_ne!(read.unwrap(), 0, "closed in the middle of an answer");
        }
    }

    /// Waits until the server closes it.
    async fn closed(mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.0.read(&mut byte));
        assert_eq!(read.await.expect("it stays open").unwrap(), 0);
    }
}

/// A request whose body never comes to its end: the server waits for it.
async fn unfinished_request(server: &Server) -> TcpStream {
    let mut slow = KeptAlive::open(server).await.0;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    // An answer on another connection: the server has taken the slow one in before.
    Client::nobody(server).get("/livez").await.expect(200);
    slow
}

/// Waits until the server says that it drains, and returns what it says.
async fn draining(server: &Server) -> Value {
    let nobody = Client::nobody(server);
    let not_ready = async {
        loop {
            let answer = nobody.get("/readyz").await;
            if answer.status.as_u16() == 503 {
                return answer.body;
            }
        }
    };
    tokio::time::timeout(PATIENCE, not_ready).await.unwrap()
}

#[tokio::test]
async fn row_17_first_signal_drains_and_the_database_closes_last() {
    let server = Server::start().await;
    server.signal("TERM").await;
    let (status, log, _) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let stopped: Vec<_> = ["http", "outbox", "hub", "database"]
        .into_iter()
        .map(|service| {
            let line = |line: &&str| line.contains("stopped") && line.contains(service);
            let found = log.lines().position(|text| line(&text));
            found.unwrap_or_else(|| panic!("{service} did not stop: {log}"))
        })
        .collect();
    assert!(stopped.is_sorted(), "{stopped:?}: {log}");
}

#[tokio::test]
async fn draining_server_serves_all_until_a_second_signal_and_then_closes_all() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data, &[("STEADFAST_DRAIN", "1h")]).await;
    let ann = Client::admin(&server).await;
    let (mut socket, _) = ann.connect().await;
    let (mut idle, mut unused) = (
        KeptAlive::open(&server).await,
        KeptAlive::open(&server).await,
    );
    assert!(idle.get("/livez").await.starts_with("http/1.1 200"));
    assert!(unused.get("/livez").await.starts_with("http/1.1 200"));

    server.signal("TERM").await;
    assert_eq!(draining(&server).await["status"], "draining");
    Client::nobody(&server).get("/livez").await.expect(200);
    let publish = json!({"user_id": ann.id().await, "title": "still here", "body": ""});
    ann.post("/api/v1/notifications", publish).await.expect(201);
    assert_eq!(
        socket.publication().await["notification"]["title"],
        "still here"
    );
    let (mut latecomer, _) = ann.connect().await;
    assert!(idle.get("/readyz").await.starts_with("http/1.1 503"));
    assert!(idle.get("/livez").await.starts_with("http/1.1 200"));

    server.signal("TERM").await;
    idle.closed().await;
    unused.closed().await;
    assert_eq!(socket.close_code().await, Some(3001));
    assert_eq!(latecomer.close_code().await, Some(3001));
    let (status, log, _) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    // Those that were idle were closed, not cut when the time was up.
    assert!(!log.contains("did not finish in time"), "{log}");
}

#[tokio::test]
async fn drain_ends_by_itself() {
    const DRAIN: Duration = Duration::from_secs(1);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data, &[("STEADFAST_DRAIN", "1s")]).await;
    let ann = Client::admin(&server).await;
    let (mut socket, _) = ann.connect().await;
    let idle = KeptAlive::open(&server).await;
    let signalled = Instant::now();
    server.signal("TERM").await;
    idle.closed().await;
    assert!(signalled.elapsed() >= DRAIN, "{:?}", signalled.elapsed());
    assert_eq!(socket.close_code().await, Some(3001));
    let (status, log, _) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn third_signal_ends_the_process_with_128_and_its_number() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data, &[("STEADFAST_DRAIN", "1h")]).await;
    // The stop takes its time: it waits for this one.
    let _slow = unfinished_request(&server).await;
    server.signal("TERM").await;
    draining(&server).await;
    // Two different ones, since two of a kind that come at once are one.
    server.signals(&["INT", "HUP"]).await;
    let (status, log, _) = server.ended().await;
    let code = status.code().unwrap();
    assert!([128 + 1, 128 + 2].contains(&code), "{code}: {log}");
}

#[tokio::test]
async fn client_that_never_finishes_its_request_does_not_spoil_the_stop() {
    let server = Server::start().await;
    let _slow = unfinished_request(&server).await;
    server.signal("TERM").await;
    let (status, log, _) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// A stream of events that goes on for ever.
fn ticks() -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    stream::poll_fn(move |cx| {
        ticks
            .poll_tick(cx)
            .map(|_| Some(Ok(Event::default().data("tick"))))
    })
}

#[tokio::test]
async fn stream_of_events_goes_on_while_the_server_waits_and_is_cut_then() {
    const GRACE: Duration = Duration::from_millis(500);
    let events = Router::new().route("/events", get(|| async { Sse::new(ticks()) }));
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = steadfast_app::http::Server::start(anywhere, events)
        .await
        .unwrap();
    let url = format!("http://{}/events", server.address());
    let mut stream = reqwest::get(url).await.unwrap();
    stream.chunk().await.unwrap().unwrap();

    let begun = Instant::now();
    let read = async {
        let mut ticks = 0;
        while let Ok(Some(_)) = stream.chunk().await {
            ticks += 1;
        }
        ticks
    };
    let (cut, ticks) = tokio::join!(server.stop(GRACE), read);
    assert_eq!(cut, 1);
    assert!(ticks > 0);
    assert!(begun.elapsed() >= GRACE, "{:?}", begun.elapsed());
}
