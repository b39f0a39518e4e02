use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    ServerError, SmallDisk,
    server::{PORT_TRIES, Server, ServerDir, find_program, free_port},
};

const PROGRAM: &str = "postgres";
const PACKAGE: &str = "postgresql";

/// Creates a cluster by `$0`, where there is none yet, and becomes the server `$1` in the directory
/// `$2` on the port `$3`, with the authentication `$4` and the settings that follow. Shared memory is in files of the directory,
/// so that a kill leaves none behind.
const INIT_AND_RUN: &str = r#"
initdb=$0 postgres=$1 home=$2 port=$3 auth=$4
shift 4
[ -e "$home/data/PG_VERSION" ] ||
    "$initdb" -D "$home/data" -U postgres -A "$auth" --pwfile "$home/password" \
        -E UTF8 --locale=C --no-sync || exit
exec "$postgres" -D "$home/data" -k "$home" -p "$port" -c listen_addresses=127.0.0.1 \
    -c dynamic_shared_memory_type=mmap \
    -c fsync=off -c full_page_writes=off "$@"
"#;

/// A Postgres server of one's own, with an empty cluster.
///
/// It listens on a free port of 127.0.0.1 and on a Unix socket in its directory, and trusts every
/// connection unless it is given a [`password`](PostgresBuilder::password): superuser `postgres`. It writes without `fsync`. Starting takes one
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
    password: Option<String>,
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
        Self::builder().start().await
    }

    /// A server with settings of its own.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    async fn try_start(builder: &PostgresBuilder) -> Result<Self, ServerError> {
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
        if let Some(disk) = &builder.disk {
            directory.link("data", disk, PROGRAM)?;
        }
        // The program that creates the cluster wants one that is not empty, also where it is unused.
        let password = builder.password.as_deref().unwrap_or("unused");
        directory.write("password", password, PROGRAM)?;
        let home = directory.path().display().to_string();
        let mut args = [
            ["-c", INIT_AND_RUN].map(str::to_owned),
            [initdb, postgres].map(|program| program.display().to_string()),
            [home, port.to_string()],
        ]
        .concat();
        let auth = builder
            .password
            .as_ref()
            .map_or("trust", |_| "scram-sha-256");
        args.push(auth.to_owned());
        for (name, value) in &builder.settings {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let server = directory.spawn(PROGRAM, Path::new("sh"), &args)?;
        let postgres = Self {
            server,
            port,
            create_database,
            password: builder.password.clone(),
        };
        postgres.ready().await?;
        Ok(postgres)
    }

    async fn ready(&self) -> Result<(), ServerError> {
        let postmaster = self.directory().join("data/postmaster.pid");
        let is_ready = || async { self.pid().is_some_and(|pid| is_ready(&postmaster, pid)) };
        self.server.ready(is_ready).await
    }

    /// Kills the server and its children at once, as a machine's death would; its data stays.
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

    /// Starts the server again on the same port and the same
    /// data; where it runs it is shut down first,
    /// without waiting for its clients. Returns when it accepts connections.
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

    /// The server's directory, which also holds its Unix socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// The process id of the postmaster; `None` once it is killed.
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
        let password = self.password.as_ref().map(|it| format!(":{it}"));
        let password = password.unwrap_or_default();
        format!(
            "postgres://postgres{password}@127.0.0.1:{}/{name}",
            self.port
        )
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
            // It is to succeed on a server that is otherwise read-only.
            .env("PGPASSWORD", self.password.as_deref().unwrap_or_default())
            .env("PGOPTIONS", "-c default_transaction_read_only=off")
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

/// How a [`PrivatePostgres`] is started; made by [`PrivatePostgres::builder`].
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    settings: Vec<(String, String)>,
    disk: Option<PathBuf>,
    password: Option<String>,
}

impl PostgresBuilder {
    /// Sets one of the server's settings, as in `postgresql.conf`; the last of one name counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has every connection authenticate with this password (SCRAM-SHA-256); the URLs have it.
    ///
    /// # Panics
    ///
    /// If it is empty or has other characters than ASCII letters, digits and `-`, which would have
    /// to be escaped in a URL.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(
            !password.is_empty() && password.bytes().all(is_plain),
            "a password of letters, digits and `-`"
        );
        self.password = Some(password.to_owned());
        self
    }

    /// Keeps the data on `disk`, which needs room for some 40 MB and more to work with; the log
    /// and the socket are elsewhere. The disk is to be dropped after the server.
    #[must_use]
    pub fn on(mut self, disk: &SmallDisk) -> Self {
        self.disk = Some(disk.path().to_owned());
        self
    }

    /// Makes transactions read-only unless they ask otherwise;
    /// [`create_database`](PrivatePostgres::create_database) does.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.setting("default_transaction_read_only", "on")
    }

    /// Starts the server, as [`PrivatePostgres::start`].
    ///
    /// # Errors
    ///
    /// As [`PrivatePostgres::start`]; a setting that the server does not know is
    /// [`ServerError::Ended`].
    ///
    /// # Cancel safety
    ///
    /// As [`PrivatePostgres::start`].
    pub async fn start(self) -> Result<PrivatePostgres, ServerError> {
        let mut tries = 1;
        loop {
            match PrivatePostgres::try_start(&self).await {
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

/// The last line of the postmaster's file says how far it is, as `pg_ctl --wait` reads it; the
/// first says who wrote it, which may be a server that was killed.
fn is_ready(postmaster: &Path, pid: u32) -> bool {
    fs::read_to_string(postmaster).is_ok_and(|text| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.first() == Some(&pid.to_string().as_str()) && lines.last() == Some(&"ready")
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
