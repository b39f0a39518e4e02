//! What is past its policy is hidden before it is deleted, in the stores of both databases.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use steadfast_app::{
    adapters::Expiry,
    audit::{AuditAction, AuditEntry, AuditLog, AuditQuery},
};
use steadfast_clock::ManualClock;
use steadfast_lease::MemoryBackend;
use steadfast_notifications::{
    IdSource, IdempotencyClaim, NotificationQuery, NotificationStore, Order, PublishOutcome, UserId,
};
use steadfast_privacy::{
    ChangedBy, PolicyPatch, PolicySnapshot, Privacy, Records, RetentionStore, RunLog,
    test_util::conformance as privacy,
};

use crate::{
    postgres_stores,
    store_checks::{at, draft},
    stores,
};

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn policies_and_audit_log_conform_in_sqlite() {
    let stores = stores::Stores::open().await;
    privacy::policy_store(&stores.audit()).await.unwrap();
    audit_log(&stores.audit(), &*stores.ids).await;
}

#[tokio::test]
async fn policies_and_audit_log_conform_in_postgres() {
    let Some(stores) = postgres_stores::Stores::open().await else {
        return;
    };
    privacy::policy_store(&stores.audit()).await.unwrap();
    audit_log(&stores.audit(), &*stores.ids).await;
}

/// The changes of [`privacy::policy_store`] are in the log, and only those that were stored; others
/// come back as they were recorded, by user, by action and by page.
async fn audit_log(log: &dyn AuditLog, ids: &dyn IdSource) {
    let all = AuditQuery {
        limit: 99,
        ..AuditQuery::default()
    };
    let changes = log.list(&all).await.unwrap();
    let mut details: Vec<_> = changes
        .iter()
        .map(|entry| {
            assert_eq!(entry.action, AuditAction::ChangePolicy);
            let target = entry.target.as_deref().unwrap();
            (target, entry.detail.as_deref().unwrap())
        })
        .collect();
    details.sort_unstable();
    assert_eq!(
        details,
        [
            ("sessions", "30 days -> 31 days, off, held"),
            ("sessions", "31 days, off, held -> 60 days, off, held"),
            ("user_events", "7 days -> 9 days"),
        ]
    );
    let (ann, bob) = (ids.next_id(), ids.next_id());
    let later = |seconds| changes[0].at + jiff::SignedDuration::from_secs(seconds);
    let mut recorded = Vec::new();
    for (n, (user, action)) in [
        (ann, AuditAction::LogIn),
        (bob, AuditAction::LogIn),
        (ann, AuditAction::CreateToken),
    ]
    .into_iter()
    .enumerate()
    {
        let entry = AuditEntry {
            user_id: Some(user),
            succeeded: n != 1,
            target: (n == 2).then(|| "a token".to_owned()),
            address: Some("2001:db8::1".parse().unwrap()),
            request_id: Some(ids.next_id()),
            ..AuditEntry::new(action, later(n as i64 + 1))
        };
        log.record(&entry).await.unwrap();
        assert!(log.record(&entry).await.is_err(), "an id is used once");
        recorded.insert(0, entry);
    }
    assert_eq!(log.list(&all).await.unwrap()[..3], recorded);
    let of = async |user_id, action, before, limit| {
        let query = AuditQuery {
            user_id,
            action,
            before,
            limit,
        };
        log.list(&query).await.unwrap()
    };
    let [token, bobs, anns] = <[AuditEntry; 3]>::try_from(recorded).unwrap();
    let (login, any) = (Some(AuditAction::LogIn), None);
    assert_eq!(
        of(Some(ann), any, None, 9).await,
        [token.clone(), anns.clone()]
    );
    assert_eq!(of(None, login, None, 9).await, [bobs.clone(), anns.clone()]);
    assert_eq!(
        of(Some(ann), login, None, 9).await,
        std::slice::from_ref(&anns)
    );
    assert_eq!(of(None, any, None, 1).await, std::slice::from_ref(&token));
    assert_eq!(of(None, login, Some(token.id), 1).await, [bobs]);
    assert_eq!(of(Some(ann), any, Some(token.id), 9).await, [anns]);
}

/// Stores that hide by the policies at a time that is set.
struct World {
    clock: Arc<ManualClock>,
    notifications: Arc<dyn NotificationStore>,
    runs: Arc<dyn RunLog>,
    audit: Arc<dyn AuditLog>,
    /// Shows everything.
    all: Arc<dyn RetentionStore>,
    policies: Privacy,
}

/// The clock of a world, the snapshot of its policies, and what its stores hide by.
fn expiry() -> (Arc<ManualClock>, PolicySnapshot, Expiry) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let snapshot = PolicySnapshot::default();
    let expiry = Expiry::new(snapshot.clone(), clock.clone());
    (clock, snapshot, expiry)
}

fn policies<S>(store: S, snapshot: PolicySnapshot, clock: Arc<ManualClock>) -> Privacy
where
    S: RetentionStore + RunLog + 'static,
{
    let store = Arc::new(store);
    let kept = Arc::new(steadfast_privacy::test_util::MemoryPolicies::new());
    let locks = Arc::new(MemoryBackend::with_clock(clock.clone()));
    let builder = Privacy::builder(store.clone(), store, kept, locks);
    builder.snapshot(snapshot).clock(clock).build().unwrap()
}

#[tokio::test]
async fn records_past_their_policies_are_hidden_before_they_are_deleted_in_sqlite() {
    let stores = stores::Stores::open().await;
    let (clock, snapshot, expiry) = expiry();
    let world = World {
        notifications: Arc::new(stores.notifications().hiding(expiry.clone())),
        runs: Arc::new(stores.privacy().hiding(expiry.clone())),
        all: Arc::new(stores.privacy()),
        audit: Arc::new(stores.audit().hiding(expiry)),
        policies: policies(stores.privacy(), snapshot, clock.clone()),
        clock,
    };
    hidden_before_deleted(&world, &*stores.ids).await;
}

#[tokio::test]
async fn records_past_their_policies_are_hidden_before_they_are_deleted_in_postgres() {
    let Some(stores) = postgres_stores::Stores::open().await else {
        return;
    };
    let (clock, snapshot, expiry) = expiry();
    let world = World {
        notifications: Arc::new(stores.notifications().hiding(expiry.clone())),
        runs: Arc::new(stores.privacy().hiding(expiry.clone())),
        all: Arc::new(stores.privacy()),
        audit: Arc::new(stores.audit().hiding(expiry)),
        policies: policies(stores.privacy(), snapshot, clock.clone()),
        clock,
    };
    hidden_before_deleted(&world, &*stores.ids).await;
}

async fn hidden_before_deleted(world: &World, ids: &dyn IdSource) {
    notifications_are_hidden(world, ids).await;
    events_and_keys_are_hidden(world, ids).await;
    runs_and_audit_are_hidden(world).await;
}

impl World {
    /// Sets the clock to so many days and a second after the beginning.
    fn day(&self, days: u64) {
        let time = Duration::from_secs(days * DAY as u64 + 1);
        self.clock.set_wall(SystemTime::UNIX_EPOCH + time);
    }

    async fn keep(&self, records: Records, patch: PolicyPatch) {
        let by = ChangedBy::default();
        let changed = self.policies.change_policy(records, &patch, None, by);
        changed.await.unwrap();
    }
}

async fn notifications_are_hidden(world: &World, ids: &dyn IdSource) {
    let store = &world.notifications;
    let user = UserId::new(ids.next_id());
    world.day(0);
    let mut made = Vec::new();
    for created in [0, 0, 100 * DAY] {
        let draft = draft(ids, user, at(created));
        store.publish(&draft, None).await.unwrap();
        made.push(draft.id);
    }
    let read = store.mark_read(user, &made[..1], at(DAY)).await.unwrap();
    assert_eq!(read, made[..1]);
    let shown = async |unread| {
        let mut lists = Vec::new();
        for order in [
            Order::OldestFirst { after: 0 },
            Order::NewestFirst { before: None },
        ] {
            let query = NotificationQuery {
                order,
                unread,
                limit: 9,
            };
            let mut seqs: Vec<_> = store.list(user, query).await.unwrap();
            seqs.sort_unstable_by_key(|it| it.seq);
            lists.push(seqs.into_iter().map(|it| it.seq).collect::<Vec<_>>());
        }
        assert_eq!(lists[0], lists[1]);
        lists.remove(0)
    };
    // Read ones are kept for 90 days from then, unread ones for 180.
    world.day(90);
    assert_eq!(
        (shown(false).await, shown(true).await),
        (vec![1, 2, 3], vec![2, 3])
    );
    world.day(91);
    assert_eq!(
        (shown(false).await, shown(true).await),
        (vec![2, 3], vec![2, 3])
    );
    assert_eq!(store.get(user, made[0]).await.unwrap(), None);
    assert!(
        store
            .delete(user, &made[..1], at(0))
            .await
            .unwrap()
            .is_empty()
    );
    world.day(180);
    assert_eq!((shown(false).await, shown(true).await), (vec![3], vec![3]));
    // What is hidden does not come back by being read.
    assert!(
        store
            .mark_read(user, &made[1..2], at(0))
            .await
            .unwrap()
            .is_empty()
    );
    let read = store
        .mark_read_up_to(user, 3, at(180 * DAY), 9)
        .await
        .unwrap();
    assert_eq!(read, made[2..]);
    assert_eq!(store.get(user, made[1]).await.unwrap(), None);

    // A hold keeps the rows, not the view; a policy that is switched off hides nothing.
    let hold = PolicyPatch {
        legal_hold: Some(true),
        ..PolicyPatch::default()
    };
    world.keep(Records::UnreadNotifications, hold).await;
    assert_eq!(shown(false).await, [3]);
    let off = PolicyPatch {
        enabled: Some(false),
        ..PolicyPatch::default()
    };
    world.keep(Records::UnreadNotifications, off).await;
    assert_eq!(shown(false).await, [2, 3]);
}

async fn events_and_keys_are_hidden(world: &World, ids: &dyn IdSource) {
    let store = &world.notifications;
    let user = UserId::new(ids.next_id());
    let claim = IdempotencyClaim {
        caller: user,
        key: "deploy-1".into(),
        body_hash: [1; 32],
        expires_at: at(99 * DAY),
    };
    world.day(0);
    let publish = async |created| {
        let draft = draft(ids, user, at(created));
        store.publish(&draft, Some(&claim)).await.unwrap()
    };
    assert!(matches!(publish(0).await, PublishOutcome::Stored(_)));
    assert!(matches!(publish(60).await, PublishOutcome::Replayed(_)));
    // Keys are kept for a day, whatever they say themselves.
    world.day(1);
    assert!(matches!(publish(DAY).await, PublishOutcome::Stored(_)));
    assert!(matches!(publish(DAY).await, PublishOutcome::Replayed(_)));

    let offsets = async || {
        let page = store.events(user, 0, 9).await.unwrap();
        let events = page.events.into_iter().map(|event| event.offset);
        (page.newest, events.collect::<Vec<_>>())
    };
    assert_eq!(offsets().await, (2, vec![1, 2]));
    world.day(7);
    assert_eq!(offsets().await, (2, vec![2]));
    world.day(8);
    assert_eq!(offsets().await, (2, vec![]));
}

async fn runs_and_audit_are_hidden(world: &World) {
    let (runs, audit) = (&world.runs, &world.audit);
    let run = privacy::succeeded_run(at(0));
    runs.begin(&run).await.unwrap();
    let entry = AuditEntry::new(AuditAction::LogIn, at(0));
    audit.record(&entry).await.unwrap();
    let all = AuditQuery {
        limit: 9,
        ..AuditQuery::default()
    };
    let shown = async || {
        let found = [
            runs.find(run.id).await.unwrap(),
            runs.last_success(run.operation).await.unwrap(),
            runs.list(None, None, 9).await.unwrap().pop(),
            runs.list(Some(run.operation), None, 9).await.unwrap().pop(),
        ];
        let runs = found.into_iter().flatten().count();
        (runs, audit.list(&all).await.unwrap().len())
    };
    world.day(364);
    assert_eq!(shown().await, (4, 1));
    world.day(365);
    assert_eq!(shown().await, (4, 0));
    world.day(400);
    assert_eq!(shown().await, (0, 0));
    let left = world
        .all
        .count_expired(Records::PrivacyRuns, Timestamp::MAX);
    assert_eq!(left.await.unwrap(), 1, "hidden, not deleted");
}
