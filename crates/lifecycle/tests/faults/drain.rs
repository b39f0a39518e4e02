//! The server of the example in a process of its own, with all kinds of connections open when it is
//! signalled.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use steadfast_lifecycle::Lifecycle;
use steadfast_testkit::ChildProcess;

#[path = "../../examples/axum_drain.rs"]
#[expect(dead_code, reason = "its `main` is for the example")]
mod example;

/// How long a client waits for what is to come.
const WITHIN: Duration = Duration::from_secs(60);

/// Longer than a test may take: the second signal is what ends it.
const DRAIN: Duration = Duration::from_secs(3_600);

#[test]
fn child() {
    if ChildProcess::role().is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(async {
        let http = Arc::new(example::Http::new(SocketAddr::from(([127, 0, 0, 1], 0))));
        let app = Lifecycle::builder().service(Arc::clone(&http) as _);
        let app = app.build().unwrap();
        let mut snapshots = app.subscribe();
        let tell = async {
            let _ = snapshots.wait_for(|now| now.is_ready()).await;
            println!("{}", http.address().unwrap());
            let _ = snapshots.wait_for(|now| now.is_draining()).await;
            println!("draining");
        };
        match tokio::join!(app.run_until_stopped(DRAIN), tell).0 {
            Ok(_) => 0,
            Err(error) => {
                println!("{error}");
                error.exit_code()
            }
        }
    });
    std::process::exit(code.into());
}

struct Client(TcpStream);

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Reads until what was read ends like this.
    fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(end) {
            let length = self.0.read(&mut byte).unwrap();
            assert_eq!(
                length,
                1,
                "closed after {:?}",
                String::from_utf8_lossy(&read)
            );
            read.push(byte[0]);
        }
        read
    }

    /// Reads until the server closes the connection.
    fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        self.0.read_to_end(&mut read).unwrap();
        read
    }

    /// The status of a GET; the connection stays open.
    fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        let head = self.read_until(b"\r\n\r\n");
        let head = String::from_utf8(head).unwrap();
        head.split(' ').nth(1).unwrap().to_owned()
    }

    /// Sends a text of fewer than 126 bytes over the WebSocket, masked with zeros.
    fn say(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        self.send(&[0x81, 0x80 | length, 0, 0, 0, 0]);
        self.send(text.as_bytes());
    }
}

fn events(address: &str) -> Client {
    let mut client = Client::connect(address);
    assert_eq!(client.get("/events"), "200");
    client.read_until(b"data: tick\n");
    client
}

fn web_socket(address: &str) -> Client {
    let mut client = Client::connect(address);
    client.send(
        b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 101"));
    client.say("hello");
    client.read_until(b"\x81\x05hello");
    client
}

#[test]
fn open_connections_are_served_in_the_drain_and_then_told_and_closed() {
    let mut child = ChildProcess::start("drain::child", "server").unwrap();
    let address = loop {
        let line = child.next_line().unwrap();
        if line.starts_with("127.0.0.1:") {
            break line;
        }
    };
    let mut events = events(&address);
    let mut socket = web_socket(&address);
    let mut idle = Client::connect(&address);
    assert_eq!(idle.get("/readyz"), "200");
    let mut silent = Client::connect(&address);

    child.send("TERM");
    child.hear("draining");
    for client in [&mut idle, &mut Client::connect(&address)] {
        assert_eq!(client.get("/readyz"), "503");
        assert_eq!(client.get("/livez"), "200");
    }
    events.read_until(b"data: tick\n");
    socket.say("still there?");
    socket.read_until(b"\x81\x0cstill there?");

    child.send("TERM");
    let said = String::from_utf8(events.read_to_end()).unwrap();
    assert!(said.contains("event: goodbye"), "{said}");
    assert!(
        said.ends_with("\r\n0\r\n\r\n"),
        "the end of the body is told: {said:?}"
    );
    let close = socket.read_to_end();
    // Opcode 8, and code 1001: going away.
    assert_eq!(close[..4], [0x88, 14, 0x03, 0xe9], "{close:?}");
    assert_eq!(idle.read_to_end(), b"");
    assert_eq!(silent.read_to_end(), b"");
    let status = child.wait();
    assert_eq!(status.code(), Some(0), "{:?}", child.said());
}
