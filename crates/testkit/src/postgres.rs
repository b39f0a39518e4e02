use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    ServerError,
    server::{PORT_TRIES, Server, ServerDir, find_program, free_port},
};

const PROGRAM: &str = "postgres";
const PACKAGE: &str = "postgresql";

/// Creates a cluster by `$0` and becomes the server `$1` in the directory `$2` on the port `$3`.
const INIT_AND_RUN: &str = r#"
"$0" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync &&
exec "$1" -D "$2/data" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off
"#;

/// A Postgres server of one's own, with an empty cluster.
///
/// It listens on a free port of 127.0.0.1 and on a Unix socket in its directory, and trusts every
/// connection: superuser `postgres`, no password. It writes without `fsync`. Starting takes one
/// to two seconds. Dropping the value ends the server at once and removes its files; the drop
/// blocks until that is done.
///
/// # Examples
///
/// ```
/// use steadfast_testkit::{PrivatePostgres, server_or_skip};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), steadfast_testkit::ServerError> {
/// let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else { return Ok(()) };
/// let url = postgres.create_database("orders").await?;
/// assert!(url.ends_with("/orders"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PrivatePostgres {
    server: Server,
    port: u16,
    create_database: PathBuf,
}

impl PrivatePostgres {
    /// Creates a cluster and starts a server on it; returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// [`ServerError::Missing`] where Postgres is not installed (looked for in
    /// `/usr/lib/postgresql/*/bin`, newest first, and in `PATH`); other variants, with the
    /// server's log, when it does not start.
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
        let (postgres, initdb, create_database) = (
            program("postgres")?,
            program("initdb")?,
            program("createdb")?,
        );
        let directory = ServerDir::new(PROGRAM, "postgres")?;
        let port = free_port().map_err(|source| ServerError::Directory {
            program: PROGRAM,
            source,
        })?;
        let home = directory.path().display().to_string();
        let args = [
            ["-c", INIT_AND_RUN].map(str::to_owned),
            [initdb, postgres].map(|program| program.display().to_string()),
            [home, port.to_string()],
        ];
        // SIGTERM ends the shell that still creates the cluster; SIGQUIT ends the server and its
        // children at once.
        let server = directory.spawn(PROGRAM, Path::new("sh"), &args.concat(), "TERM QUIT")?;
        let postmaster = server.directory().join("data/postmaster.pid");
        server.ready(|| async { is_ready(&postmaster) }).await?;
        Ok(Self {
            server,
            port,
            create_database,
        })
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's directory, which also holds its Unix socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// The process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The URL of the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of the database `name`.
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    ///
    /// [`ServerError::Command`] with what the server said, such as that it exists already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the command; the database may be there or not.
    pub async fn create_database(&self, name: &str) -> Result<String, ServerError> {
        let directory = self.directory().display().to_string();
        let port = self.port.to_string();
        let output = tokio::process::Command::new(&self.create_database)
            .args(["-h", &directory, "-p", &port, "-U", "postgres", name])
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| ServerError::Spawn {
                program: "createdb".to_owned(),
                source,
            })?;
        if output.status.success() {
            return Ok(self.database_url(name));
        }
        Err(ServerError::Command {
            program: "createdb".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// The last line of the postmaster's file says how far it is, as `pg_ctl --wait` reads it.
fn is_ready(postmaster: &Path) -> bool {
    fs::read_to_string(postmaster).is_ok_and(|text| {
        text.lines()
            .last()
            .is_some_and(|line| line.trim() == "ready")
    })
}

fn program(name: &str) -> Result<PathBuf, ServerError> {
    find_program(name, &version_directories()).ok_or(ServerError::Missing {
        program: PROGRAM,
        package: PACKAGE,
    })
}

/// Debian keeps the server's programs out of `PATH`, in a directory for each version.
fn version_directories() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions
        .into_iter()
        .map(|(_, directory)| directory)
        .collect()
}
