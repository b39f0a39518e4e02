use std::path::Path;

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
        let mut tries = 1;
        loop {
            match Self::try_start().await {
                Err(ServerError::Ended { log, .. })
                    if log.contains("Address already in use") && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_start() -> Result<Self, ServerError> {
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
        let args: Vec<String> = args.concat().into_iter().map(str::to_owned).collect();
        let server = directory.spawn(PROGRAM, &program, &args, "KILL")?;
        server.ready(|| answers(port)).await?;
        Ok(Self { server, port })
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

    /// The server's process id.
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

async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    matches!(ping.await, Ok(answer) if &answer == b"+PONG\r\n")
}
