use std::{str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// The key of the advisory lock that the one process on a database holds: nothing but a number of
/// our own.
const KEY: i64 = 0x5354_4541_4446_4153;

/// How often a process looks at its start whether one that has died is gone, of which the server
/// learns by the end of the connection, but not at once; and how long it waits in between.
const TRIES: u32 = 50;
const POLL: Duration = Duration::from_millis(100);

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Lets the server notice within half a minute that the machine at the other end is gone; without
/// it, that takes two hours by default.
const KEEPALIVE: &str =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4";

/// A Postgres database, held by this process alone.
///
/// Two processes on one database would each push only what they claimed themselves, and only to
/// their own clients. The lock belongs to a session, so that it ends with the process, however
/// that ends; it wants a direct connection, or a pooler in session mode. What is stored does not
/// depend on it.
pub(super) struct InstanceLock {
    options: PgConnectOptions,
    session: Mutex<Option<PgConnection>>,
}

/// Why the database is not held.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstanceLockError {
    /// Another process works on it.
    #[error("another process holds the database: one steadfast at a time works on it")]
    Held,
    /// It cannot be asked for.
    #[error("cannot lock the database against other processes")]
    Lock {
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The server did not answer.
    #[error("cannot lock the database against other processes: no answer within {within:?}")]
    NoAnswer {
        /// How long it was waited for.
        within: Duration,
    },
}

impl std::fmt::Debug for InstanceLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceLock").finish_non_exhaustive()
    }
}

impl InstanceLock {
    /// The lock of the database at `url`, not held yet.
    ///
    /// # Errors
    ///
    /// If the URL cannot be read.
    pub(super) fn new(url: &str) -> Result<Self, sqlx::Error> {
        Ok(Self {
            options: PgConnectOptions::from_str(url)?,
            session: Mutex::default(),
        })
    }

    /// Holds the lock, waiting a moment for a process that has just died.
    ///
    /// # Errors
    ///
    /// If another process holds it, or the server fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the lock is not held.
    pub(super) async fn acquire(&self) -> Result<(), InstanceLockError> {
        for _ in 1..TRIES {
            match self.check().await {
                Err(InstanceLockError::Held) => sleep(POLL).await,
                outcome => return outcome,
            }
        }
        self.check().await
    }

    /// Looks whether the lock is still held, and takes it again if its session was lost.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), but at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the lock is not held; call it again.
    pub(super) async fn check(&self) -> Result<(), InstanceLockError> {
        let mut session = self.session.lock().await;
        // Taken out, so that a session that does not answer is not asked again.
        if let Some(mut held) = session.take()
            && let Ok(Ok(())) = timeout(ANSWER, held.ping()).await
        {
            *session = Some(held);
            return Ok(());
        }
        let locked = timeout(ANSWER, self.lock()).await;
        let no_answer = |_| InstanceLockError::NoAnswer { within: ANSWER };
        *session = Some(locked.map_err(no_answer)??);
        Ok(())
    }

    /// Lets go of it.
    pub(super) async fn release(&self) {
        if let Some(session) = self.session.lock().await.take() {
            // It ends without ceremony where the server does not answer.
            let _ = timeout(ANSWER, session.close()).await;
        }
    }

    /// A session of its own that holds the lock.
    async fn lock(&self) -> Result<PgConnection, InstanceLockError> {
        let failed = |source| InstanceLockError::Lock { source };
        let mut session = self.options.connect().await.map_err(failed)?;
        sqlx::raw_sql(KEEPALIVE)
            .execute(&mut session)
            .await
            .map_err(failed)?;
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(KEY)
            .fetch_one(&mut session)
            .await
            .map_err(failed)?;
        if !locked {
            let _ = session.close().await;
            return Err(InstanceLockError::Held);
        }
        Ok(session)
    }
}
