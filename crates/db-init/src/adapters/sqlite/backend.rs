use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use steadfast_sync::{Decision, Retry};
use thiserror::Error;

use super::{SqliteOptions, SqlitePools, classify_sqlite, diagnose::diagnose, migrate, remedy};
use crate::{
    Backend, BackendError, Class, ConfigError, LedgerOperation, MigrationError, MigrationId,
    MigrationSet, PoolStats,
};

/// How long the switch to WAL may take at least, however short the busy timeout is.
const SWITCH_WITHIN: Duration = Duration::from_secs(1);

/// Reads from the file, and so opens its log.
const READ: &str = "SELECT count(*) FROM sqlite_schema";

/// SQLite on a file.
///
/// [`connect`](Backend::connect) opens the file by one bootstrap connection, which creates it if
/// it is missing, sets WAL (a property of the file), reads from it, and so surfaces what is wrong
/// with it; then it makes the [pools](SqlitePools). Migrations run in one `BEGIN IMMEDIATE`
/// around the check of the ledger and all of the migrations, so that they are applied exactly
/// once, all or none, however many processes start at once.
///
/// In-memory databases are refused: each connection would have its own.
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    path: PathBuf,
    options: SqliteOptions,
    /// How the processes that start at once take turns to switch the file to WAL.
    switch: Arc<Retry>,
}

impl SqliteBackend {
    /// A backend on the file at `path`, which may also be a URL: `sqlite:path` or
    /// `sqlite://path`. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the field, if the path is empty, is a URL of another scheme, names
    /// an in-memory database or has a query (`?mode=…`), or an option cannot work.
    pub fn new(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, ConfigError> {
        options.validate()?;
        let switch = Retry::builder()
            .name("sqlite-wal")
            .initial_delay(Duration::from_millis(5))
            .max_delay(Duration::from_millis(50))
            .max_attempts(10_000)
            .deadline(options.busy_timeout.saturating_mul(2).max(SWITCH_WITHIN))
            .build()
            .map_err(|error| ConfigError::new("busy_timeout", &error.to_string()))?;
        Ok(Self {
            path: parse_path(path.into())?,
            options,
            switch: Arc::new(switch),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn connect_options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .foreign_keys(true)
            .busy_timeout(self.options.busy_timeout)
            .synchronous(SqliteSynchronous::Full)
    }

    fn pool(&self, max: u32, options: SqliteConnectOptions) -> SqlitePool {
        SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(max)
            .acquire_timeout(self.options.acquire_timeout)
            .idle_timeout(self.options.idle_timeout)
            .max_lifetime(self.options.max_lifetime)
            .test_before_acquire(true)
            // Where SQLite has rolled back by itself (disk full, I/O error), sqlx's own rollback
            // fails and the connection counts as inside of a transaction for ever.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
            .connect_lazy_with(options)
    }

    /// Creates the file if it is missing, makes it a WAL database and reads from it.
    async fn bootstrap(&self) -> Result<(), sqlx::Error> {
        let options = self
            .connect_options()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.connect().await?;
        let read = sqlx::query(READ).execute(&mut connection).await;
        connection.close().await?;
        read.map(drop)
    }

    /// The last connection to close moves the log into the file; but two that close at the same
    /// time each take the other for one that stays, and leave it behind. Then one more does it.
    async fn settle_log(&self) {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        if !std::path::Path::new(&log).exists() {
            return;
        }
        // Nothing is lost where it fails: whoever opens the file next reads the log.
        if let Ok(mut connection) = self.connect_options().connect().await {
            let _ = sqlx::query(READ).execute(&mut connection).await;
            let _ = connection.close().await;
        }
    }

    fn cannot(&self, action: &str) -> String {
        format!("cannot {action} {}", self.location())
    }

    async fn explain(&self, action: &str, error: sqlx::Error) -> BackendError {
        let action = self.cannot(action);
        let class = classify_sqlite(&error);
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || diagnose(&path, error)).await {
            Ok(Ok(file_error)) => BackendError::new(class, action)
                .with_remedy(remedy::of_file(&file_error))
                .with_source(file_error),
            Ok(Err(error)) => failure(action, error),
            Err(join_error) => BackendError::new(class, action).with_source(join_error),
        }
    }
}

/// The first try was cut off by the deadline.
#[derive(Debug, Error)]
#[error("others have held the file's lock all the time")]
struct FileBusy;

#[async_trait]
impl Backend for SqliteBackend {
    type Pool = SqlitePools;

    fn location(&self) -> String {
        format!("SQLite database `{}`", self.path.display())
    }

    async fn connect(&self) -> Result<SqlitePools, BackendError> {
        // Switching to WAL needs the file to oneself for a moment, and SQLite does not wait for
        // that.
        let is_busy = |error: &sqlx::Error| match classify_sqlite(error) {
            Class::Transient => Decision::Retry,
            _ => Decision::Stop,
        };
        if let Err(error) = self.switch.run(|_| self.bootstrap(), is_busy).await {
            return Err(match error.into_last() {
                Some(error) => self.explain("open", error).await,
                None => BackendError::new(Class::Transient, self.cannot("open"))
                    .with_remedy(remedy::LOCKED)
                    .with_source(FileBusy),
            });
        }
        let options = self.connect_options();
        Ok(SqlitePools {
            writer: self.pool(1, options.clone()),
            reader: self.pool(self.options.readers, options.pragma("query_only", "ON")),
        })
    }

    async fn ping(&self, pools: &SqlitePools) -> Result<(), BackendError> {
        for pool in [&pools.writer, &pools.reader] {
            let read = sqlx::query(READ).execute(pool);
            if let Err(error) = read.await {
                return Err(self.explain("read", error).await);
            }
        }
        Ok(())
    }

    async fn migrate(
        &self,
        pools: &SqlitePools,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        migrate::migrate(&self.path, pools, migrations).await
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        if !self.path.exists() {
            return migrate::all(migrations);
        }
        let options = self.connect_options().read_only(true);
        let mut connection = match options.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                return Err(MigrationError::Ledger {
                    operation: LedgerOperation::Reach,
                    source: self.explain("open", error).await,
                });
            }
        };
        let pending = migrate::pending(&self.path, &mut connection, migrations).await;
        // Nothing was written, so a failure to close cannot matter.
        let _ = connection.close().await;
        pending
    }

    fn stats(&self, pools: &SqlitePools) -> PoolStats {
        let (reader, writer) = (figures(&pools.reader), figures(&pools.writer));
        PoolStats {
            open: reader.open + writer.open,
            idle: reader.idle + writer.idle,
            max: reader.max + writer.max,
        }
    }

    async fn close(&self, pools: &SqlitePools) {
        // Both refuse new work before either is waited for.
        let (reader, writer) = (pools.reader.close(), pools.writer.close());
        reader.await;
        writer.await;
        self.settle_log().await;
    }
}

/// An error of the driver, of the class that the table says, with what to do about it and without
/// its envelope, which would only repeat the cause.
pub(super) fn failure(action: String, error: sqlx::Error) -> BackendError {
    let wrapped =
        BackendError::new(classify_sqlite(&error), action).with_remedy(remedy::remedy(&error));
    match error {
        sqlx::Error::Database(error) => wrapped.with_source(error),
        error => wrapped.with_source(error),
    }
}

fn figures(pool: &SqlitePool) -> PoolStats {
    PoolStats {
        open: pool.size(),
        idle: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
        max: pool.options().get_max_connections(),
    }
}

fn parse_path(path: PathBuf) -> Result<PathBuf, ConfigError> {
    let text = path.to_string_lossy();
    let url = text
        .strip_prefix("sqlite://")
        .or_else(|| text.strip_prefix("sqlite:"));
    let name = url.unwrap_or(&text);
    let refuse = |reason: &str| Err(ConfigError::new("path", reason));
    if name.contains("://") {
        // Not repeated: the URL of a server may hold a password.
        return refuse(
            "is a URL of another scheme; give the path of a file, alone or after `sqlite:`",
        );
    }
    if name.is_empty() {
        return refuse("must not be empty");
    }
    if name.contains(":memory:") || name.starts_with("file:") {
        return refuse(
            "names an in-memory database or a SQLite URI; give the path of a file, in a temporary \
             directory if it need not last",
        );
    }
    if url.is_some_and(|url| url.contains('?')) {
        return refuse("must be a URL without a query; use `SqliteOptions` instead");
    }
    match url {
        Some(url) => Ok(PathBuf::from(url)),
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> String {
        SqliteBackend::new(path, SqliteOptions::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn urls_and_paths_name_the_same_file() {
        for path in ["data/app.db", "sqlite:data/app.db", "sqlite://data/app.db"] {
            let backend = SqliteBackend::new(path, SqliteOptions::default()).unwrap();
            assert_eq!(backend.path(), std::path::Path::new("data/app.db"));
        }
    }

    #[test]
    fn in_memory_database_is_refused() {
        for path in [":memory:", "sqlite::memory:", "file:x?mode=memory"] {
            assert!(refusal(path).contains("give the path of a file"), "{path}");
        }
        assert!(refusal("").contains("must not be empty"));
        assert!(refusal("sqlite://x?mode=rwc").contains("without a query"));
    }

    #[test]
    fn url_of_another_scheme_is_refused_without_its_password() {
        for url in [
            "postgres://u:secret@h/db",
            "mysql://u:secret@h/db",
            "sqlite://http://x",
        ] {
            let text = refusal(url);
            assert!(
                text.contains("`path` is a URL of another scheme; give the path"),
                "{text}"
            );
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn option_that_cannot_work_is_named() {
        let options = SqliteOptions::default().readers(0);
        let error = SqliteBackend::new("x.db", options).unwrap_err();
        assert_eq!(error.to_string(), "`readers` must be at least 1");
        let options = SqliteOptions::default().busy_timeout(Duration::ZERO);
        let error = SqliteBackend::new("x.db", options).unwrap_err();
        assert_eq!(error.field(), "busy_timeout");
        // SQLite counts it in a 32-bit number of milliseconds.
        let options = SqliteOptions::default().busy_timeout(Duration::from_secs(25 * 86_400));
        let error = SqliteBackend::new("x.db", options).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`busy_timeout` must be at most 2147483647 ms"
        );
        for (options, field) in [
            (SqliteOptions::default().readers(u32::MAX), "readers"),
            (
                SqliteOptions::default().acquire_timeout(Duration::MAX),
                "acquire_timeout",
            ),
            (
                SqliteOptions::default().max_lifetime(Some(Duration::MAX)),
                "max_lifetime",
            ),
        ] {
            let error = SqliteBackend::new("x.db", options).unwrap_err();
            assert_eq!(error.field(), field);
        }
    }
}
