//! The SQLite stores of notifications and privacy do what every such store must do.

use std::{path::Path, sync::Arc, time::SystemTime};

use jiff::{SignedDuration, Timestamp};
use sqlx::{Sqlite, SqlitePool};
use steadfast_app::adapters::{
    ACCOUNT_MIGRATIONS, GuardedPool, NOTIFICATION_MIGRATIONS, PRIVACY_MIGRATIONS,
    sqlite::{GuardedJobStore, SqliteNotificationStore, SqlitePrivacyStore, SqliteScheduleStore},
};
use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions, SqlitePools};
use steadfast_notifications::{
    Draft, FireOutcome, IdSource, NewSchedule, NotificationId, NotificationStore, Occurrence,
    OutboxStore as _, PublishOutcome, Schedules, UserId, V7Ids, test_util::FakeJobs,
};
use steadfast_privacy::{Records, RetentionStore as _, test_util::conformance as privacy};
use tokio::task::JoinSet;
use uuid::Uuid;

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

    fn jobs(&self) -> GuardedJobStore {
        let (reader, writer) = self.guarded();
        GuardedJobStore::new(reader, writer)
    }

    fn schedules(&self) -> SqliteScheduleStore {
        let (reader, writer) = self.guarded();
        SqliteScheduleStore::new(reader, writer)
    }

    fn notifications(&self) -> SqliteNotificationStore {
        let (reader, writer) = self.guarded();
        SqliteNotificationStore::new(reader, writer)
    }

    fn privacy(&self) -> SqlitePrivacyStore {
        let (reader, writer) = self.guarded();
        SqlitePrivacyStore::new(reader, writer)
    }

    async fn close(self) {
        drop(self.pools);
        let report = self.database.close(std::time::Duration::from_secs(5)).await;
        assert_eq!(report.leaked, 0, "a store kept a connection");
    }
}

fn database(path: &Path) -> Database<SqliteBackend> {
    let backend = SqliteBackend::new(path, SqliteOptions::default()).unwrap();
    let migrations = MigrationSet::new()
        .add("accounts", ACCOUNT_MIGRATIONS)
        .and_then(|set| set.add("scheduler", steadfast_scheduler::MIGRATIONS))
        .and_then(|set| set.add("notifications", NOTIFICATION_MIGRATIONS))
        .and_then(|set| set.add("privacy", PRIVACY_MIGRATIONS))
        .unwrap();
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
        plant(
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_fires_are_stored_once_with_numbers_without_gaps() {
    let stores = Stores::open().await;
    let store = Arc::new(stores.notifications());
    let user = UserId::new(stores.ids.next_id());
    let jobs = Arc::new(FakeJobs::new());
    let schedules = Schedules::builder(Arc::new(stores.schedules()), jobs, stores.ids.clone());
    let new: NewSchedule =
        serde_json::from_str(r#"{"cron":"@daily","tz":"UTC","title":"Water"}"#).unwrap();
    let schedule = schedules.build().unwrap().create(user, new).await.unwrap();

    let mut fires = JoinSet::new();
    for n in 0..200 {
        let (store, id) = (store.clone(), NotificationId::new(stores.ids.next_id()));
        // Twenty occurrences, ten times each.
        let scheduled_for = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n % 20);
        let occurrence = Occurrence {
            schedule_id: schedule.id,
            scheduled_for,
        };
        let draft = Draft {
            id,
            user_id: user,
            title: "Water".into(),
            body: String::new(),
            topic: None,
            urgent: false,
            created_at: Timestamp::UNIX_EPOCH,
        };
        fires.spawn(async move { store.fire(&draft, occurrence).await.unwrap() });
    }
    let mut seqs: Vec<_> = fires
        .join_all()
        .await
        .into_iter()
        .filter_map(|fired| match fired {
            FireOutcome::Stored(stored) => Some(stored.seq),
            _ => None,
        })
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    let log = store.events(user, 0, 100).await.unwrap();
    let offsets: Vec<_> = log.events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn event_that_cannot_be_read_blocks_nobody_and_leaves_a_visible_gap() {
    let stores = Stores::open().await;
    let store = stores.notifications();
    let [poisoned, other] = [(); 2].map(|()| UserId::new(stores.ids.next_id()));
    for user in [poisoned, poisoned, poisoned, other] {
        let draft = Draft {
            id: NotificationId::new(stores.ids.next_id()),
            user_id: user,
            title: "Water".into(),
            body: String::new(),
            topic: None,
            urgent: false,
            created_at: Timestamp::UNIX_EPOCH,
        };
        store.publish(&draft, None).await.unwrap();
    }
    sqlx::query(
        r#"UPDATE user_event SET payload = '{"type":"later"}' WHERE user_id = ?1 AND position = 2"#,
    )
    .bind(poisoned.uuid())
    .execute(&stores.pools.writer)
    .await
    .unwrap();
    let offsets = |events: Vec<steadfast_notifications::UserEvent>| {
        events.iter().map(|event| event.offset).collect::<Vec<_>>()
    };

    let log = store.events(poisoned, 0, 9).await.unwrap();
    assert_eq!((log.newest, offsets(log.events)), (3, vec![1, 3]));
    let (now, until) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let claims = store.claim(now, until, 9, 9).await.unwrap();
    let claimed = |user| {
        let claim = claims.iter().find(|claim| claim.user_id == user).unwrap();
        offsets(claim.events.clone())
    };
    assert_eq!((claimed(poisoned), claimed(other)), (vec![1, 3], vec![1]));
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
    let writers = [Arc::new(stores.notifications()), Arc::new(other)];
    let user = UserId::new(stores.ids.next_id());
    let old = Timestamp::UNIX_EPOCH;
    let new = old + SignedDuration::from_hours(1);
    let mut publishing = JoinSet::new();
    for n in 0..200_usize {
        let draft = Draft {
            id: NotificationId::new(stores.ids.next_id()),
            user_id: user,
            title: "Water".into(),
            body: String::new(),
            topic: None,
            urgent: false,
            created_at: if n % 2 == 0 { old } else { new },
        };
        let store = writers[n / 2 % 2].clone();
        publishing.spawn(async move { store.publish(&draft, None).await.unwrap() });
    }
    let (privacy, records) = (stores.privacy(), Records::UnreadNotifications);
    let mut deleted = 0;
    let mut outcomes = Vec::new();
    while let Some(outcome) = publishing.join_next().await {
        outcomes.push(outcome.unwrap());
        deleted += privacy.delete_batch(records, new, 3).await.unwrap();
    }
    while deleted < 100 {
        deleted += privacy.delete_batch(records, new, 30).await.unwrap();
    }
    let mut seqs: Vec<_> = outcomes
        .into_iter()
        .filter_map(|outcome| match outcome {
            PublishOutcome::Stored(stored) => Some(stored.seq),
            _ => None,
        })
        .collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=200));
    let log = writers[1].events(user, 0, 999).await.unwrap();
    assert!(log.events.iter().map(|event| event.offset).eq(1..=200));
    let expired = privacy
        .count_expired(records, Timestamp::MAX)
        .await
        .unwrap();
    assert_eq!(
        (expired, privacy.oldest(records).await.unwrap()),
        (100, Some(new))
    );
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

/// Adds one record of a kind and an age.
async fn plant(writer: &SqlitePool, id: Uuid, user: Uuid, records: Records, at: Timestamp) {
    let notification = "INSERT INTO notification
        (id, user_id, seq, title, body, urgent, created_at, read_at)
        SELECT ?1, ?2, count(*), 'Title', '', 0,";
    let sql = match records {
        Records::ReadNotifications => format!("{notification} 0, ?3 FROM notification"),
        Records::UnreadNotifications => format!("{notification} ?3, NULL FROM notification"),
        Records::UserEvents => "INSERT INTO user_event
            SELECT ?2, count(*), '{}', ?3 FROM user_event WHERE ?1 <> x''"
            .to_owned(),
        Records::Occurrences => "INSERT INTO occurrence VALUES (?1, length(?2), ?3)".to_owned(),
        Records::IdempotencyKeys => "INSERT INTO idempotency_key
            VALUES (?2, hex(?1), x'', '{}', ?3, ?3)"
            .to_owned(),
        Records::Sessions => "INSERT INTO session VALUES (?1, ?2, 0, ?3)".to_owned(),
        Records::PrivacyRuns => "INSERT INTO privacy_run
            SELECT ?1, 'cleanup', 'api', ?3, NULL, 'failed', NULL, NULL WHERE ?2 <> x''"
            .to_owned(),
        unknown => panic!("{unknown} have no table here"),
    };
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(user)
        .bind(at.as_microsecond())
        .execute(writer)
        .await
        .unwrap();
}
