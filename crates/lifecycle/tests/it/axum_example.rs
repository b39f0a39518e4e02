//! The example, driven by raw HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use steadfast_lifecycle::{Lifecycle, Signal, test_util::ManualSignals};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::SEC;

#[path = "../../examples/axum_drain.rs"]
#[expect(dead_code, reason = "its `main` is for the example")]
mod example;

/// The first line of the answer.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("an answer as text");
    answer.lines().next().unwrap_or_default().to_owned()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    let mut buffer = [0; 256];
    while !answer.ends_with(end) {
        let length = stream.read(&mut buffer).await.expect("an answer");
        assert!(length > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
    }
    answer
}

fn app() -> (Arc<example::Http>, Lifecycle) {
    let http = Arc::new(example::Http::new(SocketAddr::from(([127, 0, 0, 1], 0))));
    let app = Lifecycle::builder()
        .service(Arc::clone(&http) as _)
        .build()
        .expect("a sound graph");
    (http, app)
}

async fn ready(http: &example::Http, app: &Lifecycle) -> SocketAddr {
    let mut snapshots = app.subscribe();
    let ready = snapshots.wait_for(|now| now.is_ready()).await;
    ready.expect("the lifecycle is alive");
    http.address().expect("it is up")
}

#[tokio::test]
async fn readiness_ends_with_the_first_signal_while_requests_are_still_served() {
    let (http, app) = app();
    let (sender, mut signals) = ManualSignals::new();
    let client = async {
        let address = ready(&http, &app).await;
        assert_eq!(get(address, "/livez").await, "HTTP/1.1 200 OK");
        assert_eq!(get(address, "/readyz").await, "HTTP/1.1 200 OK");

        sender.raise(Signal::Terminate);
        let mut snapshots = app.subscribe();
        snapshots.wait_for(|now| now.is_draining()).await.unwrap();
        assert_eq!(get(address, "/livez").await, "HTTP/1.1 200 OK");
        let not_ready = get(address, "/readyz").await;
        assert_eq!(not_ready, "HTTP/1.1 503 Service Unavailable");

        sender.raise(Signal::Terminate);
        address
    };
    // Longer than a test may take: the second signal is what ends the drain.
    let drain = Duration::from_secs(600);
    let (report, address) = tokio::join!(app.run_until_stopped_by(&mut signals, drain), client);
    assert!(report.unwrap().is_clean());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn request_under_way_is_finished_before_the_stop_ends() {
    let (http, app) = app();
    app.start().await.unwrap();
    let address = ready(&http, &app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server says so when the handler asks for the body: the request is under way.
    let go_on = read_until(&mut stream, "\r\n\r\n").await;
    assert!(go_on.starts_with("HTTP/1.1 100 Continue"), "{go_on}");

    let client = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        stream.write_all(b"hello").await.unwrap();
        read_until(&mut stream, "hello").await
    };
    let (report, answer) = tokio::join!(app.stop(), client);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(report.unwrap().is_clean());

    // And again, on another port.
    app.start().await.unwrap();
    let address = ready(&http, &app).await;
    assert_eq!(get(address, "/readyz").await, "HTTP/1.1 200 OK");
    let stop = tokio::time::timeout(10 * SEC, app.stop()).await.unwrap();
    assert!(stop.unwrap().is_clean());
}

#[tokio::test]
async fn port_that_is_taken_is_an_error_that_says_so() {
    let (http, app) = app();
    app.start().await.unwrap();
    let taken = Arc::new(example::Http::new(http.address().unwrap()));
    let second = Lifecycle::builder().service(taken).build().unwrap();
    let error = second.start().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("in use"), "{source}");
    app.stop().await.unwrap();
}
