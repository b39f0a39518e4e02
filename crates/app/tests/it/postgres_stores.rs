//! The Postgres stores do what every such store must do, and transactions meet as they are to.

mod channels;

use std::{sync::Arc, time::SystemTime};

use sqlx::{PgPool, Postgres, Transaction};
use steadfast_app::accounts::{AccountStore as _, Role};
use steadfast_app::adapters::{
    ACCOUNT_MIGRATIONS, GuardedPool, NOTIFICATION_MIGRATIONS, PRIVACY_MIGRATIONS,
    postgres::{
        PostgresAccountStore, PostgresAuditStore, PostgresChannelStore, PostgresNotificationStore,
        PostgresPrivacyStore, PostgresScheduleStore,
    },
};
use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_db_init::{Database, PostgresBackend, PostgresOptions};
use steadfast_notifications::{
    Draft, IdSource as _, NotificationStore, OutboxStore as _, PublishOutcome, Settlement, UserId,
    V7Ids, test_util::conformance,
};
use steadfast_privacy::{Records, RetentionStore as _, test_util::conformance as privacy};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    plant,
    process::PATIENCE,
    store_checks::{self as checks, at, draft},
};

/// A database with all tables, on a server of its own.
pub(crate) struct Stores {
    server: PrivatePostgres,
    _database: Database<PostgresBackend>,
    pub(crate) pool: Arc<PgPool>,
    pub(crate) ids: Arc<V7Ids>,
}

impl Stores {
    /// None where Postgres is not installed.
    pub(crate) async fn open() -> Option<Self> {
        let server = server_or_skip(PrivatePostgres::start().await)?;
        let database = database(&server.url());
        let pool = database.initialize().await.unwrap();
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        Some(Self {
            server,
            _database: database,
            pool,
            ids: Arc::new(V7Ids::new(clock, [5; 32])),
        })
    }

    pub(crate) fn guarded(&self) -> GuardedPool<Postgres> {
        guarded(&self.pool)
    }

    fn schedules(&self) -> PostgresScheduleStore {
        PostgresScheduleStore::new(self.guarded())
    }

    pub(crate) fn notifications(&self) -> PostgresNotificationStore {
        PostgresNotificationStore::new(self.guarded())
    }

    fn channels(&self) -> PostgresChannelStore {
        PostgresChannelStore::new(self.guarded())
    }

    pub(crate) fn privacy(&self) -> PostgresPrivacyStore {
        PostgresPrivacyStore::new(self.guarded())
    }

    pub(crate) fn audit(&self) -> PostgresAuditStore {
        PostgresAuditStore::new(self.guarded())
    }

    fn user(&self) -> UserId {
        UserId::new(self.ids.next_id())
    }

    /// Publishes what has the lock of its user and then waits, until the transaction is rolled
    /// back that has stored something of another user under the same id.
    async fn publish_and_wait(
        &self,
        draft: Draft,
    ) -> (Transaction<'static, Postgres>, JoinHandle<PublishOutcome>) {
        let mut holder = self.pool.begin().await.unwrap();
        plant::postgres(
            &mut *holder,
            draft.id.uuid(),
            self.ids.next_id(),
            Records::UnreadNotifications,
            at(0),
        )
        .await;
        let store = self.notifications();
        let publishing = tokio::spawn(async move { store.publish(&draft, None).await.unwrap() });
        self.until_waiting(1).await;
        (holder, publishing)
    }

    /// Waits until so many statements wait for a lock.
    async fn until_waiting(&self, count: i64) {
        let polled = async {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            let waiting = || sqlx::query_scalar::<_, i64>(sql).fetch_one(&*self.pool);
            while waiting().await.unwrap() != count {}
        };
        tokio::time::timeout(PATIENCE, polled).await.unwrap();
    }
}

fn guarded(pool: &PgPool) -> GuardedPool<Postgres> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    GuardedPool::one(pool, &clock).unwrap()
}

fn database(url: &str) -> Database<PostgresBackend> {
    let backend = PostgresBackend::new(url, PostgresOptions::default()).unwrap();
    let migrations = steadfast_app::services::migrations().unwrap();
    let database = Database::builder(backend).migrations(migrations);
    database.build().unwrap()
}

#[tokio::test]
async fn migrations_of_all_crates_are_applied_once() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM steadfast_migration")
        .fetch_one(&*stores.pool)
        .await
        .unwrap();
    let again = database(&stores.server.url());
    assert_eq!(again.pending().await.unwrap(), []);
    let all: usize = [
        ACCOUNT_MIGRATIONS,
        steadfast_scheduler::MIGRATIONS,
        NOTIFICATION_MIGRATIONS,
        PRIVACY_MIGRATIONS,
        steadfast_lease::MIGRATIONS,
    ]
    .map(<[_]>::len)
    .into_iter()
    .sum();
    assert_eq!(usize::try_from(applied).unwrap(), all);
}

#[tokio::test]
async fn account_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let store = PostgresAccountStore::new(stores.guarded());
    checks::accounts(&store, &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_admin_is_one_of_a_hundred() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let store = Arc::new(PostgresAccountStore::new(stores.guarded()));
    checks::first_admin_is_one_of_a_hundred(store, &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_admin_is_waited_for_by_the_second() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    // The first one has found no administrator, and waits for whoever has taken its name.
    let mut holder = stores.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO account VALUES ($1, 'one', 'hash', 'user', 0)")
        .bind(stores.ids.next_id())
        .execute(&mut *holder)
        .await
        .unwrap();
    let mut callers = Vec::new();
    for (name, waiting) in [("one", 1), ("two", 2)] {
        let store = PostgresAccountStore::new(stores.guarded());
        let admin = checks::user(&*stores.ids, name, Role::Admin);
        callers.push(tokio::spawn(async move {
            store.create_first_admin(&admin).await.unwrap()
        }));
        stores.until_waiting(waiting).await;
    }
    holder.rollback().await.unwrap();
    let won = futures_util::future::try_join_all(callers).await.unwrap();
    assert_eq!(won, [true, false]);
}

#[tokio::test]
async fn schedule_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    conformance::schedules(&stores.schedules(), &*stores.ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn notification_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (schedules, store) = (stores.schedules(), stores.notifications());
    conformance::notifications(&schedules, &store, &*stores.ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn outbox_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let store = stores.notifications();
    conformance::outbox(&store, &store, &*stores.ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn run_log_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    privacy::run_log(&stores.privacy()).await.unwrap();
}

#[tokio::test]
async fn retention_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let user = stores.ids.next_id();
    sqlx::query("INSERT INTO account VALUES ($1, 'ann', 'hash', 'user', 0)")
        .bind(user)
        .execute(&*stores.pool)
        .await
        .unwrap();
    let plant = async |records, at| {
        plant::postgres(&*stores.pool, stores.ids.next_id(), user, records, at).await;
    };
    privacy::retention(&stores.privacy(), plant).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_fires_are_stored_once_with_numbers_without_gaps() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (store, schedules) = (stores.notifications(), stores.schedules());
    let ids = stores.ids.clone();
    checks::fires_are_stored_once(Arc::new(store), Arc::new(schedules), ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_publications_under_one_key_are_one() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    checks::key_publishes_once_at_once(Arc::new(stores.notifications()), &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_of_one_user_and_of_many_leave_no_gap() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let store = Arc::new(stores.notifications());
    checks::publishers_leave_no_gap(store, stores.ids.clone()).await;
}

#[tokio::test]
async fn event_that_cannot_be_read_blocks_nobody_and_leaves_a_visible_gap() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let poison = async |user: Uuid, position: i64| {
        let done = sqlx::query(
            r#"UPDATE user_event SET payload = '{"type":"later"}'
               WHERE user_id = $1 AND position = $2"#,
        );
        let done = done.bind(user).bind(position).execute(&*stores.pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    };
    checks::unreadable_event_blocks_nobody(&stores.notifications(), &*stores.ids, poison).await;
}

#[tokio::test]
async fn events_that_are_gone_are_passed_over() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (store, privacy) = (stores.notifications(), stores.privacy());
    checks::events_that_are_gone_are_passed_over(&store, &privacy, &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_have_no_gap_while_another_process_writes_and_a_cleanup_deletes() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let other = database(&stores.server.url());
    let pool = other.initialize().await.unwrap();
    let writers: [Arc<dyn NotificationStore>; 2] = [
        Arc::new(stores.notifications()),
        Arc::new(PostgresNotificationStore::new(guarded(&pool))),
    ];
    checks::cleanup_leaves_no_gap(writers, &stores.privacy(), &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publisher_waits_for_those_of_the_same_user_only() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (ann, bob) = (stores.user(), stores.user());
    let first = draft(&*stores.ids, ann, at(0));
    let (holder, first) = stores.publish_and_wait(first).await;
    let (store, second) = (stores.notifications(), draft(&*stores.ids, ann, at(0)));
    let second = tokio::spawn(async move { store.publish(&second, None).await.unwrap() });
    stores.until_waiting(2).await;

    // One user's schedules, reads and pushes go on as well.
    let store = stores.notifications();
    let of_bob = draft(&*stores.ids, bob, at(0));
    store.publish(&of_bob, None).await.unwrap();
    store.mark_read(bob, &[of_bob.id], at(1)).await.unwrap();
    let claims = store.claim(at(1), at(31), 9, 9).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].user_id, bob);
    assert!(!first.is_finished() && !second.is_finished());

    holder.rollback().await.unwrap();
    let seq = |outcome| match outcome {
        PublishOutcome::Stored(stored) => stored.seq,
        other => panic!("{other:?}"),
    };
    let seqs = (seq(first.await.unwrap()), seq(second.await.unwrap()));
    assert_eq!(seqs, (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_stored_while_its_user_is_settled_is_pending() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (store, user) = (stores.notifications(), stores.user());
    store
        .publish(&draft(&*stores.ids, user, at(0)), None)
        .await
        .unwrap();
    let claims = store.claim(at(0), at(30), 9, 9).await.unwrap();

    let (holder, second) = stores
        .publish_and_wait(draft(&*stores.ids, user, at(1)))
        .await;
    let settled = Settlement::Pushed {
        pushed: Some(1),
        at: at(2),
    };
    let claim = claims[0].clone();
    let relay = store.clone();
    let settling = tokio::spawn(async move { relay.settle(&claim, settled).await.unwrap() });
    stores.until_waiting(2).await;
    holder.rollback().await.unwrap();
    second.await.unwrap();
    settling.await.unwrap();

    let claims = store.claim(at(2), at(32), 9, 9).await.unwrap();
    let offsets: Vec<_> = claims[0].events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleanup_passes_over_what_somebody_changes() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let (store, user) = (stores.notifications(), stores.user());
    let drafts = [0, 1, 2].map(|_| draft(&*stores.ids, user, at(0)));
    for draft in &drafts {
        store.publish(draft, None).await.unwrap();
    }
    let mut reader = stores.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM notification WHERE id = $1 FOR UPDATE")
        .bind(drafts[0].id.uuid())
        .execute(&mut *reader)
        .await
        .unwrap();
    let (privacy, records) = (stores.privacy(), Records::UnreadNotifications);
    let deleted = privacy.delete_batch(records, at(1), 9).await.unwrap();
    assert_eq!(deleted, 2);
    reader.rollback().await.unwrap();
    let deleted = privacy.delete_batch(records, at(1), 9).await.unwrap();
    assert_eq!(deleted, 1);
}
