//! The example, driven by HTTP.

use std::{net::SocketAddr, sync::Arc};

use steadfast_db_init::Status;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

#[expect(dead_code, reason = "its `main` is not called")]
#[path = "../../examples/axum_database.rs"]
mod server;

async fn request(address: SocketAddr, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn example_opens_at_the_first_request_and_closes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    let database = Arc::new(server::database(path.to_str().unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = JoinSet::new();
    serving.spawn(server::serve(listener, Arc::clone(&database), async {
        let _ = stopped.await;
    }));

    let answer = request(address, "GET /readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for note in 1..=2 {
        let answer = request(address, "POST /notes", "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with(&format!("note {note}\n")), "{answer}");
    }
    let answer = request(address, "GET /readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("ready (generation 1)\n"), "{answer}");

    stop.send(()).unwrap();
    serving.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(database.status(), Status::Closed { .. }));
}
