//! Notices between processes: what has been changed falls due soon.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};

use super::{error::RowError, jobs::Tx};
use crate::Wake;

const CHANNEL: &str = "sched_due";

/// How long it takes until a lost connection is made again, and how long that may take.
const RECONNECT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What falls due later is not worth a notice: every scheduler looks by itself before.
const SOON: Duration = Duration::from_secs(30);

/// Tells the other processes, when the transaction commits, if something is due soon.
pub(super) async fn give(
    tx: &mut Tx,
    ns: &str,
    due: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), RowError> {
    let soon = now.checked_add(SOON).unwrap_or(Timestamp::MAX);
    let Some(due) = due.filter(|due| *due <= soon) else {
        return Ok(());
    };
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(format!("{} {ns}", due.as_millisecond()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Passes on what the other processes tell, for as long as it is polled, on a connection of its
/// own beside those of the pool.
pub(super) async fn take(pool: &PgPool, ns: &str, wake: &Wake) {
    loop {
        if let Err(error) = listen(pool, ns, wake).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(namespace = ns, error, "no notices of other processes");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Returns when the connection is lost.
async fn listen(pool: &PgPool, ns: &str, wake: &Wake) -> Result<(), sqlx::Error> {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with((*pool.connect_options()).clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // Whatever was told before that was not heard.
    wake(Timestamp::MIN);
    while let Some(notice) = listener.try_recv().await? {
        if let Some(due) = parse(notice.payload(), ns) {
            wake(due);
        }
    }
    Ok(())
}

/// When something falls due, if it is of this namespace.
fn parse(payload: &str, ns: &str) -> Option<Timestamp> {
    let (due, of) = payload.split_once(' ')?;
    let due = due.parse().ok().filter(|_| of == ns)?;
    Timestamp::from_millisecond(due).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_other_namespaces_and_nonsense_are_left_alone() {
        let due = Timestamp::from_millisecond(7).unwrap();
        assert_eq!(parse("7 my jobs", "my jobs"), Some(due));
        for payload in [
            "7 jobs",
            "7",
            "",
            "x my jobs",
            "9223372036854775807 my jobs",
        ] {
            assert_eq!(parse(payload, "my jobs"), None, "{payload}");
        }
    }
}
