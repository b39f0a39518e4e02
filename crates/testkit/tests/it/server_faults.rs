use std::{path::PathBuf, time::Duration};

use steadfast_testkit::{PrivatePostgres, PrivateRedis, ServerError, server_or_skip};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::servers::is_running;

const SOON: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(300);

/// A session of Postgres, as much of the protocol as these tests need.
struct Session(TcpStream);

impl Session {
    async fn open(postgres: &PrivatePostgres) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", postgres.port())).await;
        let mut session = Self(stream.unwrap());
        let startup = b"\0\x03\0\0user\0postgres\0\0";
        session.send(&[], startup).await;
        session.until_ready().await.unwrap();
        session
    }

    async fn send(&mut self, kind: &[u8], body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let message = [kind, &length, body].concat();
        self.0.write_all(&message).await.unwrap();
    }

    async fn query(&mut self, sql: &str) {
        self.send(b"Q", format!("{sql}\0").as_bytes()).await;
    }

    /// Everything the server says until it is ready for the next query.
    async fn until_ready(&mut self) -> std::io::Result<String> {
        let mut said = String::new();
        loop {
            let kind = self.0.read_u8().await?;
            let mut body = vec![0; self.0.read_u32().await? as usize - 4];
            self.0.read_exact(&mut body).await?;
            if kind == b'Z' {
                return Ok(said);
            }
            said += &String::from_utf8_lossy(&body);
        }
    }
}

async fn redis_says(redis: &PrivateRedis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))
        .await
        .unwrap();
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .await
        .unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said.replace("\r\n", " ")
}

/// The server and its children.
fn family(pid: u32) -> Vec<u32> {
    let child = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        (parent == pid.to_string()).then(|| entry.file_name().to_str().unwrap().parse().unwrap())
    };
    let children = std::fs::read_dir("/proc").unwrap().flatten();
    std::iter::once(pid)
        .chain(children.filter_map(child))
        .collect()
}

/// Whether the process is there and not only still to be waited for.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits until the processes are gone, also from the table of whoever inherited them.
fn assert_all_gone(family: &[u32]) {
    for _ in 0..1_000 {
        if !family.iter().any(|pid| is_running(*pid)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("one of {family:?} is left");
}

/// The System V segments of the machine that belong to nobody any more.
fn orphaned_segments() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .filter(|fields: &Vec<String>| fields[6] == "0")
        .map(|fields| fields[1].clone())
        .collect()
}

#[tokio::test]
async fn killed_postgres_is_gone_and_keeps_its_data() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    postgres.create_database("kept").await.unwrap();
    let mut busy = Session::open(&postgres).await;
    // It never looks whether its postmaster lives.
    busy.query("do 'begin loop end loop; end'").await;
    let (pid, port) = (postgres.pid().unwrap(), postgres.port());
    let family = family(pid);
    assert!(family.len() > 2, "{family:?}");

    postgres.kill();
    assert!(!family.iter().any(|pid| is_alive(*pid)));
    assert_all_gone(&family);
    assert_eq!(postgres.pid(), None);
    assert!(timeout(SOON, busy.until_ready()).await.unwrap().is_err());
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    postgres.kill();

    let mut clients = Vec::new();
    for _ in 0..2 {
        postgres.restart().await.unwrap();
        assert_eq!(postgres.port(), port);
        assert_ne!(postgres.pid(), Some(pid));
        match postgres.create_database("kept").await {
            Err(ServerError::Command { output, .. }) => {
                assert!(output.contains("already exists"), "{output}");
            }
            other => panic!("{other:?}"),
        }
        // The second round restarts a server that runs and has a client.
        clients.push(Session::open(&postgres).await);
    }
}

#[tokio::test]
async fn paused_postgres_is_silent_until_resumed() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let mut session = Session::open(&postgres).await;
    postgres.pause();
    session.query("select 'here'").await;
    assert!(timeout(SILENCE, session.until_ready()).await.is_err());
    // The operating system accepts for it.
    let mut new = TcpStream::connect(("127.0.0.1", postgres.port()))
        .await
        .unwrap();
    assert!(timeout(SILENCE, new.read_u8()).await.is_err());

    postgres.resume();
    let said = timeout(SOON, session.until_ready()).await.unwrap().unwrap();
    assert!(said.contains("here"), "{said}");
}

#[tokio::test]
async fn postgres_has_the_settings_it_was_given() {
    let builder = PrivatePostgres::builder()
        .setting("max_connections", "7")
        .setting("application_name", "two words")
        .read_only();
    let Some(postgres) = server_or_skip(builder.start().await) else {
        return;
    };
    for name in ["one", "two"] {
        let mut session = Session::open(&postgres).await;
        session.query("show max_connections").await;
        assert!(session.until_ready().await.unwrap().contains('7'));
        session.query("show application_name").await;
        assert!(session.until_ready().await.unwrap().contains("two words"));
        session.query("create table t ()").await;
        let said = session.until_ready().await.unwrap();
        assert!(said.contains("read-only transaction"), "{said}");
        postgres.create_database(name).await.unwrap();
        postgres.restart().await.unwrap();
    }

    let unknown = PrivatePostgres::builder().setting("no_such_setting", "1");
    match unknown.start().await {
        Err(ServerError::Ended { log, .. }) => assert!(log.contains("no_such_setting"), "{log}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn postgres_with_a_password_asks_for_it() {
    let builder = PrivatePostgres::builder().password("open-sesame-1");
    let Some(postgres) = server_or_skip(builder.start().await) else {
        return;
    };
    assert!(postgres.url().contains("postgres:open-sesame-1@"));
    postgres.create_database("with_password").await.unwrap();

    let stream = TcpStream::connect(("127.0.0.1", postgres.port())).await;
    let mut session = Session(stream.unwrap());
    session.send(&[], b"\0\x03\0\0user\0postgres\0\0").await;
    let mut request = [0; 9];
    session.0.read_exact(&mut request).await.unwrap();
    // An authentication request (R) of the kind SASL (10).
    assert_eq!((request[0], request[8]), (b'R', 10));
}

#[test]
#[should_panic(expected = "letters, digits")]
fn password_that_would_need_escaping_is_refused() {
    let _ = PrivatePostgres::builder().password("a@b");
}

#[tokio::test]
async fn killed_or_restarted_redis_comes_back_empty() {
    let Some(redis) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let port = redis.port();
    for kill_first in [true, false] {
        assert!(redis_says(&redis, "SET a 1").await.starts_with("+OK"));
        assert!(redis_says(&redis, "GET a").await.starts_with("$1 1"));
        if kill_first {
            let pid = redis.pid().unwrap();
            redis.kill();
            assert!(!is_running(pid) && redis.pid().is_none());
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
        }
        redis.restart().await.unwrap();
        assert_eq!(redis.port(), port);
        assert!(redis_says(&redis, "GET a").await.starts_with("$-1"));
    }
}

#[tokio::test]
async fn paused_redis_is_silent_until_resumed() {
    let builder = PrivateRedis::builder().setting("maxclients", "9");
    let Some(redis) = server_or_skip(builder.start().await) else {
        return;
    };
    redis.pause();
    let mut answer = std::pin::pin!(redis_says(&redis, "CONFIG GET maxclients"));
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    redis.resume();
    assert!(timeout(SOON, answer).await.unwrap().contains("$1 9"));
}

#[tokio::test]
async fn restart_onto_a_taken_port_says_so() {
    let Some(redis) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    redis.kill();
    let _thief = tokio::net::TcpListener::bind(("127.0.0.1", redis.port()))
        .await
        .unwrap();
    match redis.restart().await {
        Err(ServerError::Ended { log, .. }) => assert!(log.contains("in use"), "{log}"),
        other => panic!("{other:?}"),
    }
}

/// Drops the server in the state that `bring` brings it to.
async fn assert_drop_leaves_nothing(bring: impl AsyncFn(&PrivatePostgres)) {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let mut busy = Session::open(&postgres).await;
    busy.query("select pg_sleep(600)").await;
    let mut seen = family(postgres.pid().unwrap());
    let mut segments = vec![segment(&postgres)];
    let directory: PathBuf = postgres.directory().to_owned();

    bring(&postgres).await;
    segments.push(segment(&postgres));
    if let Some(pid) = postgres.pid() {
        seen.extend(family(pid));
    }
    drop(postgres);
    assert!(!directory.exists());
    assert_all_gone(&seen);
    let left = orphaned_segments();
    assert!(
        !segments.iter().any(|segment| left.contains(segment)),
        "{segments:?} in {left:?}"
    );
}

/// The id of the segment that marks the data directory, as its lock file says.
fn segment(postgres: &PrivatePostgres) -> String {
    let file = postgres.directory().join("data/postmaster.pid");
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().nth(6).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn dropped_while_it_runs_leaves_nothing() {
    assert_drop_leaves_nothing(async |_| {}).await;
}

#[tokio::test]
async fn dropped_after_a_kill_leaves_nothing() {
    assert_drop_leaves_nothing(async |postgres| postgres.kill()).await;
}

#[tokio::test]
async fn dropped_after_a_pause_leaves_nothing() {
    assert_drop_leaves_nothing(async |postgres| postgres.pause()).await;
}

#[tokio::test]
async fn dropped_after_kill_and_restart_leaves_nothing() {
    assert_drop_leaves_nothing(async |postgres| {
        postgres.kill();
        postgres.restart().await.unwrap();
    })
    .await;
}
