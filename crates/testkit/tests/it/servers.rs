use std::{
    io::{BufRead, BufReader},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use steadfast_testkit::{PrivatePostgres, PrivateRedis, ServerError, server_or_skip};
use tokio::net::TcpStream;

/// Set in a process that only holds a server, until it is killed.
const HOLDER: &str = "STEADFAST_TESTKIT_HOLDER";

pub(crate) fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until the process and the directory are gone; fails after ten seconds.
fn assert_gone(pid: u32, directory: &Path) {
    for _ in 0..1000 {
        if !is_running(pid) && !directory.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} or {} is left", directory.display());
}

#[tokio::test]
async fn dropped_postgres_leaves_nothing() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let (pid, directory) = (postgres.pid().unwrap(), postgres.directory().to_owned());
    assert!(is_running(pid) && directory.join("data").exists());
    assert!(
        TcpStream::connect(("127.0.0.1", postgres.port()))
            .await
            .is_ok()
    );

    drop(postgres);
    assert!(!is_running(pid), "the drop waits for the end");
    assert!(!directory.exists());
}

#[tokio::test]
async fn dropped_redis_leaves_nothing() {
    let Some(redis) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let (pid, directory) = (redis.pid().unwrap(), redis.directory().to_owned());
    assert!(is_running(pid));
    drop(redis);
    assert!(!is_running(pid) && !directory.exists());
}

#[tokio::test]
async fn panicking_test_leaves_nothing() {
    let Some(redis) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let (pid, directory) = (redis.pid().unwrap(), redis.directory().to_owned());
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _redis = redis;
        panic!("the test fails");
    }));
    assert!(outcome.is_err());
    assert!(!is_running(pid) && !directory.exists());
}

#[tokio::test]
async fn killed_test_process_leaves_nothing() {
    if std::env::var_os(HOLDER).is_some() {
        let redis = PrivateRedis::start().await.unwrap();
        let pid = redis.pid().unwrap();
        println!("HOLDING {pid} {}", redis.directory().display());
        std::future::pending::<()>().await;
    }
    if server_or_skip(PrivateRedis::start().await).is_none() {
        return;
    }
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "servers::killed_test_process_leaves_nothing",
            "--nocapture",
        ])
        .env(HOLDER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(holder.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("HOLDING ").map(|(_, rest)| rest.to_owned()))
        .unwrap();
    let (pid, directory) = line.split_once(' ').unwrap();
    let (pid, directory) = (pid.parse().unwrap(), PathBuf::from(directory));
    assert!(is_running(pid) && directory.exists());

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_gone(pid, &directory);
}

#[tokio::test]
async fn start_dropped_halfway_leaves_nothing() {
    if std::env::var_os(HOLDER).is_some() {
        for patience in [1, 50, 200, 400, 800] {
            let start = PrivatePostgres::start();
            let _ = tokio::time::timeout(Duration::from_millis(patience), start).await;
        }
        return;
    }
    if server_or_skip(PrivatePostgres::start().await).is_none() {
        return;
    }
    // In a process of its own, so that the temporary directory is its own too.
    let own = tempfile::tempdir().unwrap();
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(own.path(), anybody).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::start_dropped_halfway_leaves_nothing"])
        .env(HOLDER, "1")
        .env("TMPDIR", own.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let left: Vec<_> = std::fs::read_dir(own.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let running = processes_that_mention(own.path());
    assert!(running.is_empty(), "{running:?}");
}

/// The command lines of the processes in which `path` occurs.
fn processes_that_mention(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(path))
        .collect()
}

#[tokio::test]
async fn databases_are_created_by_name() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let url = postgres.create_database("orders").await.unwrap();
    assert_eq!(url, postgres.database_url("orders"));
    match postgres.create_database("orders").await {
        Err(ServerError::Command { output, .. }) => {
            assert!(output.contains("already exists"), "{output}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn servers_do_not_share_a_port() {
    let (Some(one), Some(two)) = (
        server_or_skip(PrivateRedis::start().await),
        server_or_skip(PrivateRedis::start().await),
    ) else {
        return;
    };
    assert_ne!(one.port(), two.port());
    assert_ne!(one.url(), two.url());
}
