use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    ServerError,
    server::{PORT_TRIES, Server, ServerDir, find_program, free_port},
};

const PROGRAM: &str = "redis-server";
const PACKAGE: &str = "redis-server";
/// How long an answer is waited for before it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// A Redis server of one's own, empty, in memory only.
///
/// It listens on a free port of 127.0.0.1 without a password. Dropping the value ends the server
/// at once and removes its directory; the drop blocks until that is done.
#[derive(Debug)]
pub struct PrivateRedis {
    server: Server,
    port: u16,
}

impl PrivateRedis {
    /// Starts a server; returns when it answers `PING`.
    ///
    /// # Errors
    ///
    /// [`ServerError::Missing`] where Redis is not installed; other variants, with the server's
    /// log, when it does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what it started and removes its files.
    pub async fn start() -> Result<Self, ServerError> {
        Self::builder().start().await
    }

    /// A server with settings of its own.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    async fn try_start(builder: &RedisBuilder) -> Result<Self, ServerError> {
        let program = find_program(PROGRAM, &[]).ok_or(ServerError::Missing {
            program: PROGRAM,
            package: PACKAGE,
        })?;
        let directory = ServerDir::new(PROGRAM, "redis")?;
        let port = free_port().map_err(|source| ServerError::Directory {
            program: PROGRAM,
            source,
        })?;
        let home = directory.path().display().to_string();
        let args = [
            ["--port", &port.to_string()],
            ["--bind", "127.0.0.1"],
            ["--dir", &home],
            ["--save", ""],
            ["--appendonly", "no"],
        ];
        let mut args: Vec<String> = args.concat().into_iter().map(str::to_owned).collect();
        for (name, value) in &builder.settings {
            args.extend([format!("--{name}"), value.clone()]);
        }
        let server = directory.spawn(PROGRAM, &program, &args)?;
        let redis = Self { server, port };
        redis.ready().await?;
        Ok(redis)
    }

    async fn ready(&self) -> Result<(), ServerError> {
        self.server.ready(|| answers(self.port)).await
    }

    /// Kills the server and its children at once, as a machine's death would; with it goes
    /// its data.
    ///
    /// All of them are gone when this returns; it blocks for some milliseconds. A server that was
    /// killed already is left as it is.
    ///
    /// # Panics
    ///
    /// If the server's supervisor is gone or does not obey within half a minute.
    pub fn kill(&self) {
        self.server.command("kill");
    }

    /// Starts the server again on the same port, empty; where it runs it is shut down first,
    /// without waiting for its clients. Returns when it answers `PING`.
    ///
    /// # Errors
    ///
    /// [`ServerError::Ended`] or [`ServerError::NotReady`] with the server's log, such as when
    /// another process has taken the port meanwhile.
    ///
    /// # Panics
    ///
    /// If the server's supervisor is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not keep the server from restarting.
    pub async fn restart(&self) -> Result<(), ServerError> {
        self.server.restart().await?;
        self.ready().await
    }

    /// Stops the server and its children (`SIGSTOP`): connections stay open, new ones are accepted
    /// by the operating system, and nothing answers.
    ///
    /// # Panics
    ///
    /// As [`kill`](Self::kill).
    pub fn pause(&self) {
        self.server.command("pause");
    }

    /// Lets a paused server go on (`SIGCONT`), as if nothing had been.
    ///
    /// # Panics
    ///
    /// As [`kill`](Self::kill).
    pub fn resume(&self) {
        self.server.command("resume");
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// The server's process id; `None` once it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// How a [`PrivateRedis`] is started; made by [`PrivateRedis::builder`].
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    settings: Vec<(String, String)>,
}

impl RedisBuilder {
    /// Sets one of the server's settings, as in `redis.conf`; the last of one name counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server, as [`PrivateRedis::start`].
    ///
    /// # Errors
    ///
    /// As [`PrivateRedis::start`]; a setting that the server does not know is
    /// [`ServerError::Ended`].
    ///
    /// # Cancel safety
    ///
    /// As [`PrivateRedis::start`].
    pub async fn start(self) -> Result<PrivateRedis, ServerError> {
        let mut tries = 1;
        loop {
            match PrivateRedis::try_start(&self).await {
                Err(ServerError::Ended { log, .. })
                    if log.contains("Address already in use") && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    // Whoever else has taken the port may never answer.
    let answer = tokio::time::timeout(ANSWER_WITHIN, ping).await;
    matches!(answer, Ok(Ok(answer)) if &answer == b"+PONG\r\n")
}
