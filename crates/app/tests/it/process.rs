use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A command of the binary, with nothing of our own environment.
pub(crate) fn steadfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `steadfast serve` on free ports, and its data directory.
pub(crate) struct Server {
    child: Child,
    /// Kept open, since a server that writes into a closed pipe would fail.
    _stdout: Lines<BufReader<ChildStdout>>,
    stderr: tokio::task::JoinHandle<String>,
    pub(crate) url: String,
    pub(crate) admin_url: String,
    data: TempDir,
}

/// A server that begins to start: its probes and metrics answer already.
pub(crate) struct Starting {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: tokio::task::JoinHandle<String>,
    pub(crate) admin_url: String,
    data: TempDir,
}

impl Server {
    /// Starts on a new data directory; schedules may fire each second.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// Starts on a data directory that may have been used before.
    pub(crate) async fn start_in(data: TempDir) -> Self {
        Self::start_with(data, &[]).await
    }

    /// Starts with these variables beside and above the usual ones.
    pub(crate) async fn start_with(data: TempDir, variables: &[(&str, &str)]) -> Self {
        Starting::begin(data, variables).await.up().await
    }

    /// The metrics as Prometheus gets them.
    pub(crate) async fn metrics(&self) -> String {
        metrics(&self.admin_url).await
    }

    pub(crate) fn setup_token_file(&self) -> PathBuf {
        self.data.path().join("setup-token")
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Ends the process as a power cut would, and hands back its data.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.child.kill().await.unwrap();
        self.data
    }

    /// Sends a signal by its name, such as TERM.
    pub(crate) async fn signal(&self, name: &str) {
        self.signals(&[name]).await;
    }

    /// Sends signals with nothing in between.
    pub(crate) async fn signals(&self, names: &[&str]) {
        let pid = self.pid();
        let kills: Vec<_> = names
            .iter()
            .map(|name| format!("kill -s {name} {pid}"))
            .collect();
        let sent = Command::new("sh")
            .args(["-c", &kills.join(" && ")])
            .status();
        assert!(sent.await.unwrap().success());
    }

    /// Waits for the process to end: how it ended, what it logged, and its data.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, TempDir) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("the server did not end").unwrap();
        (status, self.stderr.await.unwrap(), self.data)
    }

    /// Stops the process as a supervisor would, and hands back its data.
    pub(crate) async fn stop(self) -> TempDir {
        self.signal("TERM").await;
        let (status, log, data) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        data
    }
}

impl Starting {
    pub(crate) async fn begin(data: TempDir, variables: &[(&str, &str)]) -> Self {
        let mut command = steadfast(&["serve"]);
        command
            .env("STEADFAST_DATA_DIR", data.path())
            .env("STEADFAST_LISTEN", "127.0.0.1:0")
            .env("STEADFAST_ADMIN_LISTEN", "127.0.0.1:0")
            .env("STEADFAST_MIN_INTERVAL", "1s")
            .env("STEADFAST_DRAIN", "0s")
            .env("STEADFAST_LOG", "info,steadfast=debug")
            .envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.unwrap();
            text
        });
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut starting = Self {
            child,
            stdout,
            stderr,
            admin_url: String::new(),
            data,
        };
        match starting.address("probes and metrics at ").await {
            Some(admin_url) => Self {
                admin_url,
                ..starting
            },
            None => starting.failed().await,
        }
    }

    /// Waits until all of it is up.
    pub(crate) async fn up(mut self) -> Server {
        match self.address("steadfast serves at ").await {
            Some(url) => Server {
                child: self.child,
                _stdout: self.stdout,
                stderr: self.stderr,
                url,
                admin_url: self.admin_url,
                data: self.data,
            },
            None => self.failed().await,
        }
    }

    async fn address(&mut self, before: &str) -> Option<String> {
        let read = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                if let Some(url) = line.strip_prefix(before) {
                    return Some(url.to_owned());
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    }

    async fn failed(mut self) -> ! {
        self.child.kill().await.unwrap();
        panic!("the server did not come up: {}", self.stderr.await.unwrap());
    }
}

/// The metrics that the admin listener at `url` shows.
pub(crate) async fn metrics(url: &str) -> String {
    let response = reqwest::get(format!("{url}/metrics")).await.unwrap();
    response.text().await.unwrap()
}
