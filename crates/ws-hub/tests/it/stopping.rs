use std::time::Duration;

use steadfast_ws_hub::{Handshake, Refusal, ServeError, ShutdownReport};
use tokio::{io::duplex, net::TcpListener, time::sleep};
use tokio_tungstenite::tungstenite::Error;

use crate::client::{
    builder, connect, dial, now, payload, pipe, serve, since, spawn, started, until,
};

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn clients_are_closed_with_3001_after_what_waits_for_them() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = connect(address, &format!("user-{n}")).await;
        client.subscribe("t").await;
        clients.push(client);
    }
    hub.publish("t", payload("last words")).await.unwrap();
    let stopping = hub.clone();
    let stopped = async move { stopping.stop(GRACE).await };
    let reading = async {
        for client in &mut clients {
            assert_eq!(client.publication("t").await.0, "last words");
            assert_eq!(client.closed().await, Some(3001));
        }
    };
    let (report, ()) = tokio::join!(stopped, reading);
    let expected = ShutdownReport {
        graceful: 20,
        forced: 0,
    };
    assert_eq!(report, expected);
    let stats = hub.stats();
    assert_eq!((stats.sockets, stats.connections, stats.users), (0, 0, 0));
    assert_eq!((stats.topics, stats.subscriptions), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn deaf_clients_are_cut_at_the_end_of_the_grace() {
    let hub = started(builder()).await;
    let mut deaf = pipe(&hub, 1024).await;
    deaf.hello("deaf").await;
    let opening = pipe(&hub, 1024).await;
    until("both are here", || hub.stats().sockets == 2).await;
    let start = now();
    let report = hub.stop(GRACE).await;
    assert_eq!(report.graceful + report.forced, 2);
    assert_eq!(report.forced, 2);
    assert!(since(start) < GRACE + Duration::from_millis(100));
    assert_eq!((hub.stats().sockets, hub.stats().connections), (0, 0));
    drop((deaf, opening));
}

#[tokio::test]
async fn upgrades_are_refused_with_503_while_the_hub_is_not_running() {
    let hub = builder().build().unwrap();
    assert!(!hub.is_running());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = hub.serve(listener).await;
    assert!(matches!(served, Err(ServeError::NotRunning)));
    let refused = hub.serve_stream(duplex(64).0, Handshake::default()).await;
    assert!(matches!(refused, Err(Refusal::NotRunning)));
    assert_eq!(refused.unwrap_err().response().status(), 503);
    assert_eq!(hub.stop(GRACE).await, ShutdownReport::default());
}

#[tokio::test(start_paused = true)]
async fn concurrent_stops_get_one_report_and_a_start_waits_for_them() {
    let hub = started(builder()).await;
    let mut deaf = pipe(&hub, 1024).await;
    deaf.hello("deaf").await;
    let begin = now();
    let late = async {
        sleep(Duration::from_secs(1)).await;
        assert!(!hub.is_running());
        hub.start().await;
        since(begin)
    };
    let (first, second, started) = tokio::join!(hub.stop(GRACE), hub.stop(GRACE), late);
    assert_eq!((first, first.forced), (second, 1));
    assert!(started >= GRACE, "{started:?}");
    assert!(hub.is_running());
}

#[tokio::test(start_paused = true)]
async fn shutdown_goes_on_when_its_caller_is_dropped() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let dropped = tokio::time::timeout(Duration::ZERO, hub.stop(GRACE)).await;
    assert!(dropped.is_err());
    assert_eq!(client.closed().await, Some(3001));
    hub.start().await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
}

#[tokio::test]
async fn client_that_connects_during_the_shutdown_is_told_to_come_back() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut opening = dial(address, "/", &[]).await.unwrap();
    until("it is here", || hub.stats().sockets == 1).await;
    let stopping = hub.clone();
    spawn(async move {
        stopping.stop(GRACE).await;
    });
    assert_eq!(opening.closed().await, Some(3001));
    until("stopped", || hub.stats().sockets == 0).await;
    assert_eq!(hub.stats().opened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_starts_make_one_run() {
    let hub = builder().build().unwrap();
    let starts = (0..50).map(|_| hub.start());
    futures_util::future::join_all(starts).await;
    let address = serve(&hub).await;
    let _client = connect(address, "alice").await;
    assert_eq!(hub.clients(None, 10).clients.len(), 1);
    let refused = async {
        hub.stop(Duration::from_millis(100)).await;
        match dial(address, "/", &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            // The listener went with the run.
            Err(_) => {}
            Ok(_) => panic!("let in"),
        }
    };
    refused.await;
}

#[tokio::test]
async fn hub_dropped_without_a_stop_cuts_its_clients() {
    let hub = started(builder()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    let server = hub.clone();
    serving.spawn(async move { server.serve(listener).await });
    let mut client = connect(address, "alice").await;
    serving.shutdown().await;
    client.subscribe("t").await;
    drop(hub);
    assert_eq!(client.closed().await, None);
}

#[tokio::test]
async fn endless_grace_waits_for_the_last_client() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let (report, closed) = tokio::join!(hub.stop(Duration::MAX), client.closed());
    assert_eq!((report.graceful, closed), (1, Some(3001)));
    hub.start().await;
}

#[test]
fn hub_whose_runtime_ended_during_the_stop_starts_on_another() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let hub = builder().build().unwrap();
    let first = runtime();
    let deaf = first.block_on(async {
        hub.start().await;
        let mut deaf = pipe(&hub, 4096).await;
        deaf.hello("deaf").await;
        let stopped = tokio::time::timeout(Duration::ZERO, hub.stop(GRACE)).await;
        assert!(stopped.is_err());
        deaf
    });
    drop(first);
    let (started, wait) = std::sync::mpsc::channel();
    let again = hub.clone();
    std::thread::spawn(move || {
        runtime().block_on(again.start());
        started.send(again.is_running()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(20)), Ok(true));
    drop(deaf);
}
