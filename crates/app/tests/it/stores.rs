//! The SQLite stores do what every such store must do.

use std::{path::Path, sync::Arc, time::SystemTime};

use sqlx::Sqlite;
use steadfast_app::adapters::{
    GuardedJobStore, GuardedPool,
    sqlite::{
        SqliteAccountStore, SqliteAuditStore, SqliteChannelStore, SqliteNotificationStore,
        SqlitePrivacyStore, SqliteScheduleStore,
    },
};
use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_db_init::{Database, SqliteBackend, SqliteOptions, SqlitePools};
use steadfast_notifications::{
    IdSource as _, NotificationStore, UserId, V7Ids, test_util::conformance,
};
use steadfast_privacy::test_util::conformance as privacy;
use steadfast_scheduler::SqliteJobStore;
use uuid::Uuid;

use crate::{plant, store_checks as checks};

/// A database with all tables, in a folder of its own.
pub(crate) struct Stores {
    folder: tempfile::TempDir,
    database: Database<SqliteBackend>,
    pub(crate) pools: Arc<SqlitePools>,
    pub(crate) ids: Arc<V7Ids>,
}

impl Stores {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let database = database(&path);
        let pools = database.initialize().await.unwrap();
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let ids = Arc::new(V7Ids::new(clock, [5; 32]));
        Self {
            folder,
            database,
            pools,
            ids,
        }
    }

    pub(crate) fn guarded(&self) -> (GuardedPool<Sqlite>, GuardedPool<Sqlite>) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        GuardedPool::pair(&self.pools, &clock).unwrap()
    }

    fn accounts(&self) -> SqliteAccountStore {
        let (reader, writer) = self.guarded();
        SqliteAccountStore::new(reader, writer)
    }

    fn jobs(&self) -> GuardedJobStore<Sqlite, SqliteJobStore> {
        let (reader, writer) = self.guarded();
        GuardedJobStore::new(reader, writer, SqliteJobStore::new)
    }

    fn schedules(&self) -> SqliteScheduleStore {
        let (reader, writer) = self.guarded();
        SqliteScheduleStore::new(reader, writer)
    }

    pub(crate) fn notifications(&self) -> SqliteNotificationStore {
        let (reader, writer) = self.guarded();
        SqliteNotificationStore::new(reader, writer)
    }

    fn channels(&self) -> SqliteChannelStore {
        let (reader, writer) = self.guarded();
        SqliteChannelStore::new(reader, writer)
    }

    pub(crate) fn privacy(&self) -> SqlitePrivacyStore {
        let (reader, writer) = self.guarded();
        SqlitePrivacyStore::new(reader, writer)
    }

    pub(crate) fn audit(&self) -> SqliteAuditStore {
        let (reader, writer) = self.guarded();
        SqliteAuditStore::new(reader, writer)
    }

    async fn close(self) {
        drop(self.pools);
        let report = self.database.close(std::time::Duration::from_secs(5)).await;
        assert_eq!(report.leaked, 0, "a store kept a connection");
    }
}

fn database(path: &Path) -> Database<SqliteBackend> {
    let backend = SqliteBackend::new(path, SqliteOptions::default()).unwrap();
    let migrations = steadfast_app::services::migrations().unwrap();
    let database = Database::builder(backend).migrations(migrations);
    database.build().unwrap()
}

#[tokio::test]
async fn job_store_conforms() {
    let stores = Stores::open().await;
    steadfast_scheduler::conformance::check_all(Arc::new(stores.jobs())).await;
    stores.close().await;
}

#[tokio::test]
async fn schedule_store_conforms() {
    let stores = Stores::open().await;
    let store = stores.schedules();
    steadfast_notifications::test_util::conformance::schedules(&store, &*stores.ids)
        .await
        .unwrap();
    drop(store);
    stores.close().await;
}

#[tokio::test]
async fn notification_store_conforms() {
    let stores = Stores::open().await;
    let (schedules, store) = (stores.schedules(), stores.notifications());
    let ids = stores.ids.clone();
    steadfast_notifications::test_util::conformance::notifications(&schedules, &store, &*ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn outbox_store_conforms() {
    let stores = Stores::open().await;
    let store = stores.notifications();
    steadfast_notifications::test_util::conformance::outbox(&store, &store, &*stores.ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn retention_store_conforms() {
    let stores = Stores::open().await;
    let user = stores.ids.next_id();
    sqlx::query("INSERT INTO account VALUES (?1, 'ann', 'hash', 'user', 0)")
        .bind(user)
        .execute(&stores.pools.writer)
        .await
        .unwrap();
    let plant = async |records, at| {
        plant::sqlite(
            &stores.pools.writer,
            stores.ids.next_id(),
            user,
            records,
            at,
        )
        .await;
    };
    privacy::retention(&stores.privacy(), plant).await.unwrap();
}

#[tokio::test]
async fn run_log_conforms() {
    let stores = Stores::open().await;
    privacy::run_log(&stores.privacy()).await.unwrap();
}

#[tokio::test]
async fn account_store_conforms() {
    let stores = Stores::open().await;
    checks::accounts(&stores.accounts(), &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_admin_is_one_of_a_hundred() {
    let stores = Stores::open().await;
    checks::first_admin_is_one_of_a_hundred(Arc::new(stores.accounts()), &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_fires_are_stored_once_with_numbers_without_gaps() {
    let stores = Stores::open().await;
    let (store, schedules) = (stores.notifications(), stores.schedules());
    let ids = stores.ids.clone();
    checks::fires_are_stored_once(Arc::new(store), Arc::new(schedules), ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_publications_under_one_key_are_one() {
    let stores = Stores::open().await;
    checks::key_publishes_once_at_once(Arc::new(stores.notifications()), &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_of_one_user_and_of_many_leave_no_gap() {
    let stores = Stores::open().await;
    let store = Arc::new(stores.notifications());
    checks::publishers_leave_no_gap(store, stores.ids.clone()).await;
}

#[tokio::test]
async fn event_that_cannot_be_read_blocks_nobody_and_leaves_a_visible_gap() {
    let stores = Stores::open().await;
    let writer = stores.pools.writer.clone();
    let poison = async |user: Uuid, position: i64| {
        let done = sqlx::query(
            r#"UPDATE user_event SET payload = '{"type":"later"}'
               WHERE user_id = ?1 AND position = ?2"#,
        );
        let done = done.bind(user).bind(position).execute(&writer).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    };
    checks::unreadable_event_blocks_nobody(&stores.notifications(), &*stores.ids, poison).await;
}

#[tokio::test]
async fn events_that_are_gone_are_passed_over() {
    let stores = Stores::open().await;
    let (store, privacy) = (stores.notifications(), stores.privacy());
    checks::events_that_are_gone_are_passed_over(&store, &privacy, &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_have_no_gap_while_another_process_writes_and_a_cleanup_deletes() {
    let stores = Stores::open().await;
    // Pools of their own are to SQLite what another process is.
    let path = stores.folder.path().join("test.db");
    let other = database(&path);
    let pools = other.initialize().await.unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (reader, writer) = GuardedPool::pair(&pools, &clock).unwrap();
    let other = SqliteNotificationStore::new(reader, writer);
    let writers: [Arc<dyn NotificationStore>; 2] =
        [Arc::new(stores.notifications()), Arc::new(other)];
    checks::cleanup_leaves_no_gap(writers, &stores.privacy(), &*stores.ids).await;
}

#[tokio::test]
async fn epoch_of_the_event_logs_is_its_own_for_each_database_and_stays() {
    let (one, other) = (Stores::open().await, Stores::open().await);
    let user = UserId::new(one.ids.next_id());
    let epoch = one.notifications().events(user, 0, 0).await.unwrap().epoch;
    assert_eq!(epoch.len(), 16);
    assert_eq!(
        one.notifications().events(user, 0, 0).await.unwrap().epoch,
        epoch
    );
    assert_ne!(
        other
            .notifications()
            .events(user, 0, 0)
            .await
            .unwrap()
            .epoch,
        epoch
    );
}

#[tokio::test]
async fn channel_store_conforms() {
    let stores = Stores::open().await;
    conformance::channels(&stores.channels(), &*stores.ids)
        .await
        .unwrap();
    stores.close().await;
}

#[tokio::test]
async fn delivery_store_conforms() {
    let stores = Stores::open().await;
    let (notifications, store) = (stores.notifications(), stores.channels());
    conformance::deliveries(&notifications, &store, &store, &*stores.ids)
        .await
        .unwrap();
    drop((notifications, store));
    stores.close().await;
}
