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

/// A proxy and one connection through it that works.
async fn proxied(upstream: &Echo) -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(upstream.addr).await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    round_trip(&mut stream).await.unwrap();
    (proxy, stream)
}

#[tokio::test]
async fn delay_slows_both_ways_and_passes() {
    const DELAY: Duration = Duration::from_millis(100);
    let upstream = echo().await;
    let (proxy, mut stream) = proxied(&upstream).await;
    proxy.set(Fault::Delay(DELAY)).await.unwrap();
    let fast = timeout(DELAY * 2, round_trip(&mut stream)).await;
    assert!(fast.is_err(), "{fast:?}");
    // The answer comes after all, on the connection that was open.
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");

    proxy.set(Fault::Forward).await.unwrap();
    assert_eq!(&round_trip(&mut stream).await.unwrap(), b"ping");
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn reset_resets_what_is_open_and_what_comes() {
    let upstream = echo().await;
    let (proxy, mut open) = proxied(&upstream).await;
    proxy.set(Fault::Blackhole).await.unwrap();
    let mut silent = TcpStream::connect(proxy.addr()).await.unwrap();
    while proxy.connections() < 2 {
        tokio::task::yield_now().await;
    }

    proxy.set(Fault::Reset).await.unwrap();
    assert_eq!(proxy.connections(), 0);
    let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
    for stream in [&mut open, &mut silent, &mut new] {
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    proxy.set(Fault::Forward).await.unwrap();
    let mut again = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(&round_trip(&mut again).await.unwrap(), b"ping");
}

#[tokio::test]
async fn drop_answers_lets_requests_arrive() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap())
        .await
        .unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut upstream, _) = server.accept().await.unwrap();
    proxy.set(Fault::DropAnswers).await.unwrap();

    client.write_all(b"work").await.unwrap();
    let mut arrived = [0; 4];
    upstream.read_exact(&mut arrived).await.unwrap();
    assert_eq!(&arrived, b"work");
    upstream.write_all(b"done").await.unwrap();
    let answer = timeout(Duration::from_millis(100), client.read_u8()).await;
    assert!(answer.is_err(), "{answer:?}");

    // Half a conversation is lost: it cannot go on as if nothing had been.
    proxy.set(Fault::Forward).await.unwrap();
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn server_that_closes_is_seen_while_answers_are_dropped() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap())
        .await
        .unwrap();
    proxy.set(Fault::DropAnswers).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut upstream, _) = server.accept().await.unwrap();
    upstream.write_all(b"bye").await.unwrap();
    drop(upstream);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_counts_those_that_are_open() {
    let upstream = echo().await;
    let (proxy, one) = proxied(&upstream).await;
    assert_eq!(proxy.connections(), 1);
    let mut two = TcpStream::connect(proxy.addr()).await.unwrap();
    round_trip(&mut two).await.unwrap();
    assert_eq!(proxy.connections(), 2);

    drop(one);
    let fewer = async {
        while proxy.connections() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), fewer).await.unwrap();
    assert_eq!(&round_trip(&mut two).await.unwrap(), b"ping");
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 2));
}
