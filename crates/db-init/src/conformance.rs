//! What any [`Backend`] must do. Each function panics where the backend does not.
//!
//! Give them a [`Fixture`] and call [`all`] from a test with real time.

use std::time::Duration;

use async_trait::async_trait;
use tokio::{task::JoinSet, time::timeout};

use crate::{Backend, MigrationError, MigrationId, MigrationSet};

/// How long a close that must not end is watched.
const WATCHED: Duration = Duration::from_millis(50);

type Migrations = &'static [(u32, &'static str, &'static str)];

const NOTES: Migrations = &[
    (
        1,
        "CREATE TABLE note (id INTEGER PRIMARY KEY) STRICT; CREATE INDEX note_id ON note (id)",
        "CREATE TABLE note (id bigint PRIMARY KEY); CREATE INDEX note_id ON note (id)",
    ),
    (
        2,
        "ALTER TABLE note ADD text TEXT",
        "ALTER TABLE note ADD text text",
    ),
];
const NOTES_CHANGED: Migrations = &[(1, "CREATE TABLE n (x)", "CREATE TABLE n (x int)")];
const NOTES_OLD: Migrations = &[NOTES[0]];
const TAGS: Migrations = &[(1, "CREATE TABLE tag (x)", "CREATE TABLE tag (x int)")];
const TAGS_BROKEN: Migrations = &[TAGS[0], (2, "NOT SQL", "NOT SQL")];

/// Makes what the suite needs.
#[async_trait]
pub trait Fixture: Sync {
    /// The backend under test.
    type Backend: Backend;
    /// A connection taken from its pool; dropping it gives it back.
    type Connection: Send;

    /// A backend on a new, empty database.
    async fn fresh(&self) -> Self::Backend;

    /// Takes a connection from the pool.
    async fn checkout(&self, pool: &Pool<Self>) -> Self::Connection;
}

/// The pool of a fixture's backend.
pub type Pool<F> = <<F as Fixture>::Backend as Backend>::Pool;

/// Runs the whole suite.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn all<F: Fixture>(fixture: &F) {
    fresh_database_is_migrated_in_order_and_once(fixture).await;
    pending_changes_nothing(fixture).await;
    failed_migration_applies_none(fixture).await;
    ledger_that_contradicts_the_set_is_an_error(fixture).await;
    concurrent_migrations_apply_exactly_once(fixture).await;
    dropped_migration_applies_all_or_none(fixture).await;
    close_waits_for_every_connection(fixture).await;
}

/// Migrations run in order, and a second run applies none.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn fresh_database_is_migrated_in_order_and_once<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let pool = connect(&backend).await;
    backend.ping(&pool).await.expect("ping");
    let set = set(&[("notes", NOTES), ("tags", TAGS)]);
    let all = ids(&[("notes", 1), ("notes", 2), ("tags", 1)]);
    assert_eq!(backend.migrate(&pool, &set).await.expect("migrate"), all);
    assert_eq!(backend.migrate(&pool, &set).await.expect("again"), []);
    assert_eq!(backend.pending(&set).await.expect("pending"), []);
    backend.close(&pool).await;
}

/// Asking what is pending leaves it pending.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn pending_changes_nothing<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let (old, new) = (set(&[("notes", NOTES_OLD)]), set(&[("notes", NOTES)]));
    for _ in 0..2 {
        let pending = backend.pending(&old).await.expect("pending");
        assert_eq!(pending, ids(&[("notes", 1)]));
    }
    let pool = connect(&backend).await;
    let applied = backend.migrate(&pool, &old).await.expect("migrate");
    assert_eq!(applied, ids(&[("notes", 1)]));
    for _ in 0..2 {
        let pending = backend.pending(&new).await.expect("pending");
        assert_eq!(pending, ids(&[("notes", 2)]));
    }
    backend.close(&pool).await;
}

/// A statement that fails takes the migrations of its run back with it.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn failed_migration_applies_none<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let pool = connect(&backend).await;
    let broken = set(&[("notes", NOTES), ("tags", TAGS_BROKEN)]);
    match backend.migrate(&pool, &broken).await {
        Err(MigrationError::Apply { id, source }) => {
            assert_eq!(id, MigrationId::new("tags", 2));
            assert!(!source.is_transient(), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    let pending = backend.pending(&broken).await.expect("pending");
    assert_eq!(pending.len(), 4, "{pending:?}");
    // The tables are gone too: they can be created.
    let whole = set(&[("notes", NOTES), ("tags", TAGS)]);
    assert_eq!(
        backend.migrate(&pool, &whole).await.expect("migrate").len(),
        3
    );
    backend.close(&pool).await;
}

/// Changed SQL and a ledger that is newer than the program are errors that name it, for
/// `migrate` and for `pending`.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn ledger_that_contradicts_the_set_is_an_error<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let pool = connect(&backend).await;
    let whole = set(&[("notes", NOTES), ("tags", TAGS)]);
    backend.migrate(&pool, &whole).await.expect("migrate");

    let changed = set(&[("notes", NOTES_CHANGED), ("tags", TAGS)]);
    let old = set(&[("notes", NOTES_OLD), ("tags", TAGS)]);
    let alien = set(&[("notes", NOTES)]);
    for set in [&changed, &old, &alien] {
        let outcomes = [
            backend.migrate(&pool, set).await,
            backend.pending(set).await,
        ];
        for outcome in outcomes {
            let error = outcome.expect_err("the ledger contradicts the set");
            let (named, expected) = match &error {
                MigrationError::ChecksumMismatch { id, .. } => (id, ("notes", 1, &changed)),
                MigrationError::UnknownVersion { id, known: 1 } => (id, ("notes", 2, &old)),
                MigrationError::UnknownCrate { id } => (id, ("tags", 1, &alien)),
                other => panic!("{other:?}"),
            };
            assert_eq!(*named, MigrationId::new(expected.0, expected.1));
            assert!(std::ptr::eq(expected.2, set), "{error}");
            assert!(!error.class().is_transient());
        }
    }
    backend.close(&pool).await;
}

/// Eight migrations at once, each through a pool of its own, apply each migration once.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn concurrent_migrations_apply_exactly_once<F: Fixture>(fixture: &F) {
    let backend = std::sync::Arc::new(fixture.fresh().await);
    let mut migrators = JoinSet::new();
    for _ in 0..8 {
        let backend = std::sync::Arc::clone(&backend);
        migrators.spawn(async move {
            let pool = connect(&*backend).await;
            let set = set(&[("notes", NOTES), ("tags", TAGS)]);
            let applied = backend.migrate(&pool, &set).await.expect("migrate");
            backend.close(&pool).await;
            applied
        });
    }
    let applied = migrators.join_all().await.concat();
    assert_eq!(applied, ids(&[("notes", 1), ("notes", 2), ("tags", 1)]));
}

/// A migration that is dropped somewhere leaves all or none, and nothing locked.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn dropped_migration_applies_all_or_none<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let pool = connect(&backend).await;
    let set = set(&[("notes", NOTES), ("tags", TAGS)]);
    for polls in 0..12 {
        drop_after(polls, backend.migrate(&pool, &set)).await;
        let pending = backend.pending(&set).await.expect("pending").len();
        assert!([0, 3].contains(&pending), "{pending} after {polls} polls");
    }
    backend.migrate(&pool, &set).await.expect("migrate");
    assert_eq!(backend.pending(&set).await.expect("pending"), []);
    backend.close(&pool).await;
}

/// A close refuses new work, waits while a connection is out, and ends when it is back.
///
/// # Panics
///
/// Where the backend does not conform.
pub async fn close_waits_for_every_connection<F: Fixture>(fixture: &F) {
    let backend = fixture.fresh().await;
    let pool = connect(&backend).await;
    backend.ping(&pool).await.expect("ping");
    in_use(&backend, &pool, 0).await;
    let connection = fixture.checkout(&pool).await;
    in_use(&backend, &pool, 1).await;

    let early = timeout(WATCHED, backend.close(&pool)).await;
    assert!(early.is_err(), "closed while a connection was out");
    assert_eq!(backend.stats(&pool).in_use(), 1);
    let refusal = backend.ping(&pool).await.expect_err("the pool is closed");
    assert!(!refusal.is_transient(), "{refusal:?}");

    drop(connection);
    backend.close(&pool).await;
    assert_eq!(backend.stats(&pool).open, 0);
}

/// Waits until so many connections are out; one may be on its way back for a moment.
async fn in_use<B: Backend>(backend: &B, pool: &B::Pool, count: u32) {
    let settle = async {
        while backend.stats(pool).in_use() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let settled = timeout(Duration::from_secs(5), settle).await;
    assert!(settled.is_ok(), "{:?}", backend.stats(pool));
}

async fn connect<B: Backend>(backend: &B) -> B::Pool {
    backend.connect().await.expect("connect")
}

/// Polls `future` so many times at most, then drops it.
async fn drop_after<T>(polls: u32, future: impl Future<Output = T> + Send) {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(cx).map(drop)
    })
    .await;
}

fn set(crates: &[(&'static str, Migrations)]) -> MigrationSet {
    crates
        .iter()
        .fold(MigrationSet::new(), |set, (name, migrations)| {
            set.add(name, migrations).expect("a valid set")
        })
}

fn ids(names: &[(&str, u32)]) -> Vec<MigrationId> {
    names
        .iter()
        .map(|(name, version)| MigrationId::new(*name, *version))
        .collect()
}
