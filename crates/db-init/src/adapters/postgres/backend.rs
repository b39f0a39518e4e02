use std::str::FromStr;

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
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
/// it makes the pool. Migrations run in one transaction on a direct connection that holds an
/// advisory lock, and that is closed afterwards whatever happened, so that the lock cannot
/// outlive them.
///
/// The drivers are built without TLS: `sslmode=require` and stricter modes fail as permanent
/// errors. Reach a remote server through a private network or a tunnel.
#[derive(Clone, Debug)]
pub struct PostgresBackend {
    connect: PgConnectOptions,
    options: PostgresOptions,
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
            .map_err(|error| ConfigError::new("url", error.to_string()))?;
        Ok(Self { connect, options })
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
        let action = || format!("cannot connect to postgres at {}", self.address());
        let within = self.options.connect_timeout;
        match tokio::time::timeout(within, self.connect.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(failure(action(), error)),
            Err(_) => Err(BackendError::new(Class::Transient, action())
                .with_source(ConnectTimeout { within })),
        }
    }
}

/// The server did not greet in time.
#[derive(Debug, Error)]
#[error("no answer within the connect timeout of {within:?}")]
struct ConnectTimeout {
    within: std::time::Duration,
}

#[async_trait]
impl Backend for PostgresBackend {
    type Pool = PgPool;

    async fn connect(&self) -> Result<PgPool, BackendError> {
        let connection = self.direct().await?;
        // It has told what it was to tell.
        let _ = connection.close().await;
        Ok(PgPoolOptions::new()
            .max_connections(self.options.max_connections)
            .acquire_timeout(self.options.acquire_timeout)
            .idle_timeout(self.options.idle_timeout)
            .max_lifetime(self.options.max_lifetime)
            .connect_lazy_with(self.connect.clone()))
    }

    async fn ping(&self, pool: &PgPool) -> Result<(), BackendError> {
        match sqlx::query("SELECT 1").execute(pool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(
                format!("no answer from postgres at {}", self.address()),
                error,
            )),
        }
    }

    async fn migrate(
        &self,
        _pool: &PgPool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let within = self.options.lock_timeout;
        let outcome = migrate::migrate(&mut connection, migrations, within).await;
        // Closing ends the session, and the session holds the lock.
        let _ = connection.close().await;
        outcome
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        let mut connection = self.direct().await.map_err(reach)?;
        let pending = migrate::pending(&mut connection, migrations).await;
        let _ = connection.close().await;
        pending
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

/// Wraps an error of the driver without its envelope, which would only repeat the cause.
pub(super) fn failure(action: impl Into<String>, error: sqlx::Error) -> BackendError {
    let wrapped = BackendError::new(classify_postgres(&error), action);
    match error {
        sqlx::Error::Io(error) => wrapped.with_source(error),
        error => wrapped.with_source(error),
    }
}
