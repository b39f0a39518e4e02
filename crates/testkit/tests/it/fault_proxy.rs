use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use steadfast_testkit::{Fault, FaultProxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// A server that sends back what it gets.
struct Echo {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    Echo {
        addr,
        _tasks: tasks,
    }
}

async fn round_trip(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Whether the other side has closed, gracefully or not.
async fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 1]).await, Ok(1))
}

#[tokio::test]
async fn forward_carries_bytes_both_ways() {
    let upstream = echo().await;
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(&round_trip(&mut stream).await.unwrap(), b"ping");
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn refuse_cuts_what_is_open_and_refuses_what_comes() {
    let upstream = echo().await;
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    let mut open = TcpStream::connect(proxy.addr()).await.unwrap();
    round_trip(&mut open).await.unwrap();

    proxy.set(Fault::Refuse).await.unwrap();
    assert!(is_closed(&mut open).await);
    let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    proxy.set(Fault::Forward).await.unwrap();
    let mut again = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(&round_trip(&mut again).await.unwrap(), b"ping");
}

#[tokio::test]
async fn accept_then_close_closes_each_connection() {
    let upstream = echo().await;
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    proxy.set(Fault::AcceptThenClose).await.unwrap();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn blackhole_accepts_and_silences_old_and_new() {
    let upstream = echo().await;
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
    round_trip(&mut old).await.unwrap();
    proxy.set(Fault::Blackhole).await.unwrap();
    let mut new = TcpStream::connect(proxy.addr()).await.unwrap();

    for stream in [&mut old, &mut new] {
        let silence = timeout(Duration::from_millis(100), round_trip(stream)).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    // The next fault ends the silence.
    proxy.set(Fault::Forward).await.unwrap();
    assert!(is_closed(&mut old).await && is_closed(&mut new).await);
}

#[tokio::test]
async fn dropped_proxy_closes_everything() {
    let upstream = echo().await;
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    let addr = proxy.addr();
    let mut open = TcpStream::connect(addr).await.unwrap();
    round_trip(&mut open).await.unwrap();
    drop(proxy);
    assert!(is_closed(&mut open).await);
    assert!(TcpStream::connect(addr).await.is_err());
}
