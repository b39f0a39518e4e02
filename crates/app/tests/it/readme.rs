use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::process::{PATIENCE, Server};

/// The shell lines below a heading of the README.
fn lines_below(heading: &str) -> String {
    let readme = include_str!("../../../../README.md");
    let below = readme.split_once(heading).expect("the heading is gone").1;
    let block = below.split_once("```sh\n").expect("no shell lines").1;
    block.split_once("```").unwrap().0.to_owned()
}

/// Whether there is a Node whose `WebSocket` the README can use; CI must have one.
async fn has_node() -> bool {
    let mut node = Command::new("node");
    let node = node.args([
        "--experimental-websocket",
        "-e",
        "new WebSocket('ws://localhost:1')",
    ]);
    let found = node
        .output()
        .await
        .is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("bad option"));
    if !found {
        assert!(
            std::env::var_os("STEADFAST_REQUIRE_SERVERS").is_none(),
            "no Node 20.10 or newer"
        );
        eprintln!(
            "SKIPPED: the README's WebSocket line needs Node 20.10 or newer (package nodejs)"
        );
    }
    found
}

#[tokio::test]
async fn first_notification_arrives_by_the_lines_as_printed() {
    if !has_node().await {
        return;
    }
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let script = lines_below("## A first notification")
        .replace("127.0.0.1:8080", address)
        .replace("steadfast-data", server.data().to_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = shell.id().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let notified = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(r#""pub""#) && line.contains("Stand-up") {
                return true;
            }
        }
        false
    };
    let notified = tokio::time::timeout(PATIENCE, notified).await;
    // The listener goes on for ever; it is in the shell's process group.
    let stopped = Command::new("kill")
        .args(["--", &format!("-{group}")])
        .status()
        .await
        .unwrap();
    assert!(stopped.success());
    assert_eq!(notified, Ok(true));
    server.stop().await;
}
