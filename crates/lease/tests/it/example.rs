//! The example, driven by HTTP.

use std::{net::SocketAddr, sync::Arc};

use steadfast_lease::{LockBackend, MemoryBackend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::support::TTL;

#[expect(dead_code, reason = "its `main` is not called")]
#[path = "../../examples/axum_leader.rs"]
mod server;

async fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = "GET /leader HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it reads");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("it answers");
    answer
}

#[tokio::test]
async fn example_tells_who_leads_and_hands_over_when_it_stops() {
    let backend: Arc<dyn LockBackend> = Arc::new(MemoryBackend::new());
    let elector = server::elector(Arc::clone(&backend), "host-1").unwrap();
    let mut state = elector.subscribe();
    state.wait_for(|state| state.is_leader()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = JoinSet::new();
    serving.spawn(server::serve(listener, elector, async {
        let _ = stopped.await;
    }));
    let answer = get(address).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("the leader with fence 1"), "{answer}");
    let taken = backend.try_acquire("sweeper", "host-2", TTL).await;
    assert!(taken.unwrap().is_none(), "it leads");
    stop.send(()).unwrap();
    serving.join_next().await.unwrap().unwrap().unwrap();
    let taken = backend.try_acquire("sweeper", "host-2", TTL).await;
    assert_eq!(taken.unwrap().unwrap().fence, 2);
}
