use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use steadfast_sync::Retry;
use thiserror::Error;

use super::{PostgresOptions, classify_postgres, migrate};
use crate::{
    Backend, BackendError, Class, ConfigError, LedgerOperation, MigrationError, MigrationId,
    MigrationSet, PoolStats,
};

/// PostgreSQL, without TLS.
///
/// [`connect`](Backend::connect) first makes one direct connection within a timeout of its own,
/// so that the true cause of a failure comes out (a pool would hide it in `PoolTimedOut`); then
/// it makes the pool. [`ping`](Backend::ping) ends within the acquire timeout and the connect
/// timeout together. Migrations run in one transaction on a direct connection that holds an
/// advisory lock, and that is closed afterwards whatever happened, so that the lock cannot
/// outlive them.
///
/// The drivers are built without TLS: `sslmode=require` and stricter modes fail as permanent
/// errors. Reach a remote server through a private network or a tunnel.
#[derive(Clone, Debug)]
pub struct PostgresBackend {
    connect: PgConnectOptions,
    options: PostgresOptions,
    /// How the lock on migrations is polled.
    lock: Arc<Retry>,
}

impl PostgresBackend {
    /// A backend for a URL such as `postgres://user:password@host:5432/database`, or
    /// `postgres:///database?host=/run/postgresql` for a Unix socket. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the field, if the URL cannot be read or an option cannot work; the
    /// message never repeats the URL, which may hold a password.
    pub fn new(url: &str, options: PostgresOptions) -> Result<Self, ConfigError> {
        options.validate()?;
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(ConfigError::new("url", "must begin with `postgres://`"));
        }
        let connect = PgConnectOptions::from_str(url)
            .map_err(|error| ConfigError::new("url", &format!("cannot be read: {error}")))?;
        let lock = Retry::builder()
            .name("postgres-migration-lock")
            .initial_delay(Duration::from_millis(10))
            .max_delay(Duration::from_millis(250))
            .max_attempts(u32::MAX)
            .deadline(options.lock_timeout)
            .build()
            .map_err(|error| ConfigError::new("lock_timeout", &error.to_string()))?;
        Ok(Self {
            connect,
            options,
            lock: Arc::new(lock),
        })
    }

    /// Where the server is, in words.
    fn address(&self) -> String {
        match self.connect.get_socket() {
            Some(socket) => format!("{}:{}", socket.display(), self.connect.get_port()),
            None => format!("{}:{}", self.connect.get_host(), self.connect.get_port()),
        }
    }

    /// A direct connection, within the connect timeout.
    async fn direct(&self) -> Result<PgConnection, BackendError> {
        let within = self.options.connect_timeout;
        let connect = async {
            self.resolve().await?;
            let connected = self.connect.connect().await;
            connected.map_err(|error| failure(self.cannot_connect(), error))
        };
        match tokio::time::timeout(within, connect).await {
            Ok(outcome) => outcome,
            Err(_) => Err(BackendError::new(Class::Transient, self.cannot_connect())
                .with_source(ConnectTimeout { within })),
        }
    }

    /// Looks the host name up first, because the driver's error does not tell a name that does
    /// not resolve from a server that is down.
    async fn resolve(&self) -> Result<(), BackendError> {
        let host = self.connect.get_host();
        if self.connect.get_socket().is_some() || host.starts_with('/') {
            return Ok(());
        }
        match tokio::net::lookup_host((host, self.connect.get_port())).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let action = format!("cannot resolve the host of postgres at {}", self.address());
                Err(BackendError::new(Class::Capped, action).with_source(error))
            }
        }
    }

    fn cannot_connect(&self) -> String {
        format!("cannot connect to postgres at {}", self.address())
    }
}

/// The server did not answer in time.
#[derive(Debug, Error)]
#[error("no answer within the connect timeout of {within:?}")]
struct ConnectTimeout {
    within: Duration,
}

/// The server is well, but the pool had no connection for the ping.
#[derive(Debug, Error)]
#[error("all connections of the pool were in use for {waited:?}")]
struct PoolBusy {
    waited: Duration,
}

#[async_trait]
impl Backend for PostgresBackend {
    type Pool = PgPool;

    async fn connect(&self) -> Result<PgPool, BackendError> {
        let connection = self.direct().await?;
        // It has told what it was to tell.
        let _ = connection.close().await;
        Ok(PgPoolOptions::new()
            .min_connections(0)
            .max_connections(self.options.max_connections)
            .acquire_timeout(self.options.acquire_timeout)
            .idle_timeout(self.options.idle_timeout)
            .max_lifetime(self.options.max_lifetime)
            // A connection that the server has closed meanwhile is replaced, not handed out.
            .test_before_acquire(true)
            .connect_lazy_with(self.connect.clone()))
    }

    async fn ping(&self, pool: &PgPool) -> Result<(), BackendError> {
        let no_answer = || format!("no answer from postgres at {}", self.address());
        let mut connection = match pool.acquire().await {
            Ok(connection) => connection,
            // The pool does not say why; a direct connection does.
            Err(sqlx::Error::PoolTimedOut) => {
                let connection = self.direct().await?;
                // It has told what it was to tell.
                let _ = connection.close().await;
                let waited = self.options.acquire_timeout;
                return Err(BackendError::new(Class::Transient, no_answer())
                    .with_source(PoolBusy { waited }));
            }
            Err(error) => return Err(failure(no_answer(), error)),
        };
        let within = self.options.connect_timeout;
        let select = sqlx::query("SELECT 1").execute(&mut *connection);
        match tokio::time::timeout(within, select).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(no_answer(), error)),
            Err(_) => {
                // Given back, it would hold its place in the pool until the server answers.
                drop(connection.detach());
                Err(BackendError::new(Class::Transient, no_answer())
                    .with_source(ConnectTimeout { within }))
            }
        }
    }

    async fn migrate(
        &self,
        _pool: &PgPool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let outcome = migrate::migrate(&mut connection, migrations, &self.lock).await;
        // Closing ends the session, and with it the lock; after an error without ceremony.
        let _ = match outcome {
            Ok(_) => connection.close().await,
            Err(_) => connection.close_hard().await,
        };
        outcome
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let within = self.options.lock_timeout;
        let pending = migrate::pending(&mut connection, migrations);
        match tokio::time::timeout(within, pending).await {
            Ok(pending) => {
                let _ = connection.close().await;
                pending
            }
            Err(_) => {
                let _ = connection.close_hard().await;
                Err(migrate::no_answer(LedgerOperation::Read, within))
            }
        }
    }

    fn stats(&self, pool: &PgPool) -> PoolStats {
        PoolStats {
            open: pool.size(),
            idle: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
            max: pool.options().get_max_connections(),
        }
    }

    async fn close(&self, pool: &PgPool) {
        pool.close().await;
    }
}

fn reach(source: BackendError) -> MigrationError {
    MigrationError::Ledger {
        operation: LedgerOperation::Reach,
        source,
    }
}

/// An error of the driver, of the class that the table says.
pub(super) fn failure(action: impl Into<String>, error: sqlx::Error) -> BackendError {
    wrap(classify_postgres(&error), action, error)
}

/// Wraps an error of the driver without its envelope, which would only repeat the cause.
pub(super) fn wrap(class: Class, action: impl Into<String>, error: sqlx::Error) -> BackendError {
    let wrapped = BackendError::new(class, action);
    match error {
        sqlx::Error::Io(error) => wrapped.with_source(error),
        error => wrapped.with_source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, options: PostgresOptions) -> ConfigError {
        PostgresBackend::new(url, options).unwrap_err()
    }

    #[test]
    fn url_that_cannot_be_read_is_refused_without_its_password() {
        for url in ["mysql://u:secret@h/db", "postgres://u:secret@h:port/db", ""] {
            let error = refusal(url, PostgresOptions::default());
            assert_eq!(error.field(), "url");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn option_that_cannot_work_is_named() {
        let url = "postgres://h/db";
        let error = refusal(url, PostgresOptions::default().max_connections(0));
        assert_eq!(error.to_string(), "`max_connections` must be at least 1");
        let error = refusal(url, PostgresOptions::default().max_connections(u32::MAX));
        assert_eq!(error.to_string(), "`max_connections` must be at most 65536");
        let error = refusal(url, PostgresOptions::default().lock_timeout(Duration::ZERO));
        assert_eq!(error.field(), "lock_timeout");
        let error = refusal(
            url,
            PostgresOptions::default().acquire_timeout(Duration::MAX),
        );
        assert_eq!(
            error.to_string(),
            "`acquire_timeout` must be at most 100 years"
        );
    }

    #[test]
    fn address_names_host_and_port_or_socket() {
        let address = |url: &str| {
            let backend = PostgresBackend::new(url, PostgresOptions::default());
            backend.unwrap().address()
        };
        assert_eq!(address("postgres://db.example:5433/x"), "db.example:5433");
        assert_eq!(address("postgres://u@h/x?host=/run/pg&port=7"), "/run/pg:7");
    }
}
