use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use steadfast_sync::Retry;
use thiserror::Error;

use super::{PostgresOptions, migrate, remedy, server::Server};
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
#[derive(Clone)]
pub struct PostgresBackend {
    connect: PgConnectOptions,
    server: Server,
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
            server: Server::of(&connect),
            connect,
            options,
            lock: Arc::new(lock),
        })
    }

    /// A direct connection, within the connect timeout.
    async fn direct(&self) -> Result<PgConnection, BackendError> {
        let within = self.options.connect_timeout;
        let connect = async {
            self.resolve().await?;
            let connected = self.connect.connect().await;
            connected.map_err(|error| self.server.failure(self.server.cannot_connect(), error))
        };
        match tokio::time::timeout(within, connect).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.silent(self.server.cannot_connect())),
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
                let action = format!("cannot resolve the host of {}", self.server);
                Err(BackendError::new(Class::Capped, action)
                    .with_remedy(remedy::UNRESOLVED)
                    .with_source(error))
            }
        }
    }

    fn silent(&self, action: String) -> BackendError {
        let within = self.options.connect_timeout;
        BackendError::new(Class::Transient, action)
            .with_remedy(remedy::SILENT)
            .with_source(ConnectTimeout { within })
    }

    /// Closes a direct connection, within the connect timeout: a peer that reads nothing must not
    /// hold it open. It has told what it was to tell, so how it ends cannot matter.
    async fn end(&self, connection: PgConnection) {
        let _ = tokio::time::timeout(self.options.connect_timeout, connection.close()).await;
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

    fn location(&self) -> String {
        self.server.to_string()
    }

    async fn connect(&self) -> Result<PgPool, BackendError> {
        let connection = self.direct().await?;
        self.end(connection).await;
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
        let mut connection = match pool.acquire().await {
            Ok(connection) => connection,
            // The pool does not say why; a direct connection does.
            Err(sqlx::Error::PoolTimedOut) => {
                let connection = self.direct().await?;
                self.end(connection).await;
                let waited = self.options.acquire_timeout;
                return Err(BackendError::new(Class::Transient, self.server.no_answer())
                    .with_remedy(remedy::BUSY)
                    .with_source(PoolBusy { waited }));
            }
            Err(error) => return Err(self.server.failure(self.server.no_answer(), error)),
        };
        let within = self.options.connect_timeout;
        let select = sqlx::query("SELECT 1").execute(&mut *connection);
        match tokio::time::timeout(within, select).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.server.failure(self.server.no_answer(), error)),
            Err(_) => {
                // Given back, it would hold its place in the pool until the server answers.
                drop(connection.detach());
                Err(self.silent(self.server.no_answer()))
            }
        }
    }

    async fn migrate(
        &self,
        _pool: &PgPool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let migrate = migrate::migrate(&mut connection, &self.server, migrations, &self.lock);
        let outcome = migrate.await;
        // Its end is the session's end, and with it the lock's; after an error without ceremony.
        if outcome.is_ok() {
            self.end(connection).await;
        }
        outcome
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let within = self.options.lock_timeout;
        let pending = migrate::pending(&mut connection, &self.server, migrations);
        match tokio::time::timeout(within, pending).await {
            Ok(pending) => {
                self.end(connection).await;
                pending
            }
            Err(_) => Err(self.server.silent(LedgerOperation::Read, within)),
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

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not how it connects: that holds the password.
        f.debug_struct("PostgresBackend")
            .field("server", &self.server)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn reach(source: BackendError) -> MigrationError {
    MigrationError::Ledger {
        operation: LedgerOperation::Reach,
        source,
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
    fn password_is_not_shown_by_debug() {
        let url = "postgres://u:secret@h/db";
        let backend = PostgresBackend::new(url, PostgresOptions::default()).unwrap();
        let text = format!("{backend:?}");
        assert!(
            text.contains("h:5432") && !text.contains("secret"),
            "{text}"
        );
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
}
