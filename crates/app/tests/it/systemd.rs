//! What the binary tells a service manager.

use tokio::net::UnixDatagram;

use crate::process::{PATIENCE, Server};

/// Receives until `wanted` comes, and returns what came before.
async fn until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut before = Vec::new();
    let receive = async {
        loop {
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).await.unwrap();
            let message = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
            if message == wanted {
                return;
            }
            before.push(message);
        }
    };
    let received = tokio::time::timeout(PATIENCE, receive).await;
    received.unwrap_or_else(|_| panic!("{wanted} did not come"));
    before
}

#[tokio::test]
async fn service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &variables).await;
    let before = until(&socket, "READY=1").await;
    assert!(before.iter().all(|it| it == "WATCHDOG=1"), "{before:?}");
    assert!(until(&socket, "WATCHDOG=1").await.is_empty());
    server.stop().await;
    let before = until(&socket, "STOPPING=1").await;
    assert!(before.iter().all(|it| it == "WATCHDOG=1"), "{before:?}");
}

#[tokio::test]
async fn socket_of_nobody_is_refused_and_named() {
    let mut command = crate::process::steadfast(&["serve"]);
    let data = tempfile::tempdir().unwrap();
    command
        .env("STEADFAST_DATA_DIR", data.path())
        .env("NOTIFY_SOCKET", "/nowhere/notify");
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOTIFY_SOCKET"), "{text}");
}
