//! What the stores of every database must do beside the conformance suites.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use steadfast_app::accounts::{
    AccountStore, Role, Scope, SecretHash, Session, StoredUser, Token, User, Username,
};
use steadfast_notifications::{
    ChannelKind, Dispatch, Draft, FireOutcome, IdSource, NewSchedule, NotificationId,
    NotificationStore, Occurrence, OutboxStore, PublishOutcome, ScheduleStore, Schedules,
    UserEvent, UserId, test_util::FakeJobs,
};
use steadfast_privacy::{Records, RetentionStore};
use tokio::task::JoinSet;
use uuid::Uuid;

/// What every [`AccountStore`] must do, one after the other; it must be empty.
pub(crate) async fn accounts(store: &dyn AccountStore, ids: &dyn IdSource) {
    assert!(!store.has_admin().await.unwrap());
    let ann = user(ids, "ann", Role::User);
    assert!(store.create_user(&ann).await.unwrap());
    assert!(!store.has_admin().await.unwrap(), "ann is none");
    let taken = user(ids, "ann", Role::Admin);
    assert!(!store.create_user(&taken).await.unwrap());
    assert!(!store.create_first_admin(&taken).await.unwrap());
    let root = user(ids, "root", Role::Admin);
    assert!(store.create_first_admin(&root).await.unwrap());
    assert!(store.has_admin().await.unwrap());
    let second = user(ids, "second", Role::Admin);
    assert!(!store.create_first_admin(&second).await.unwrap());

    let found = store.user_by_name(&ann.user.username).await.unwrap();
    let found = found.unwrap();
    assert_eq!((&found.user, &found.password), (&ann.user, &ann.password));
    let nobody = store.user_by_name(&second.user.username).await.unwrap();
    assert!(nobody.is_none());
    assert!(store.user_exists(root.user.id).await.unwrap());
    assert!(!store.user_exists(second.user.id).await.unwrap());
    let page = store.users(None, 1).await.unwrap();
    assert_eq!(page, std::slice::from_ref(&ann.user));
    let rest = store.users(Some(ann.user.id), 9).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&root.user));
    sessions(store, &ann.user).await;
    tokens(store, ids, &ann.user, &root.user).await;
}

async fn sessions(store: &dyn AccountStore, user: &User) {
    let session = Session {
        hash: SecretHash::of("key"),
        user_id: user.id,
        created_at: at(1),
        expires_at: at(2),
    };
    store.create_session(&session).await.unwrap();
    let (found, whose) = store.session(&session.hash).await.unwrap().unwrap();
    assert_eq!(&whose, user);
    let times = (found.user_id, found.created_at, found.expires_at);
    assert_eq!(times, (user.id, at(1), at(2)));
    let other = SecretHash::of("other");
    assert!(store.session(&other).await.unwrap().is_none());
    store.delete_session(&other).await.unwrap();
    assert!(store.session(&session.hash).await.unwrap().is_some());
    store.delete_session(&session.hash).await.unwrap();
    assert!(store.session(&session.hash).await.unwrap().is_none());
}

async fn tokens(store: &dyn AccountStore, ids: &dyn IdSource, user: &User, other: &User) {
    let mut made = Vec::new();
    for (name, expires_at) in [("one", None), ("two", Some(at(9)))] {
        let token = Token {
            id: ids.next_id(),
            hash: SecretHash::of(name),
            user_id: user.id,
            name: name.to_owned(),
            scopes: vec![Scope::SchedulesWrite, Scope::NotificationsRead],
            created_at: at(3),
            expires_at,
        };
        store.create_token(&token).await.unwrap();
        let (found, whose) = store.token(&token.hash).await.unwrap().unwrap();
        assert_eq!(&whose, user);
        assert_eq!(format!("{found:?}"), format!("{token:?}"));
        made.push(token);
    }
    let names = async |after| {
        let found = store.tokens(user.id, after, 1).await.unwrap();
        found.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None).await, ["one"]);
    assert_eq!(names(Some(made[0].id)).await, ["two"]);
    assert!(names(Some(made[1].id)).await.is_empty());
    assert!(store.tokens(other.id, None, 9).await.unwrap().is_empty());
    assert!(!store.delete_token(other.id, made[0].id).await.unwrap());
    assert!(store.delete_token(user.id, made[0].id).await.unwrap());
    assert!(!store.delete_token(user.id, made[0].id).await.unwrap());
    assert!(store.token(&made[0].hash).await.unwrap().is_none());
}

/// Of a hundred that want to be the first administrator one is.
pub(crate) async fn first_admin_is_one_of_a_hundred(
    store: Arc<dyn AccountStore>,
    ids: &dyn IdSource,
) {
    let mut callers = JoinSet::new();
    for n in 0..100 {
        let (store, user) = (store.clone(), user(ids, &format!("u{n}"), Role::Admin));
        callers.spawn(async move { store.create_first_admin(&user).await.unwrap() });
    }
    let won = callers.join_all().await.into_iter().filter(|won| *won);
    assert_eq!(won.count(), 1);
    assert_eq!(store.users(None, 100).await.unwrap().len(), 1);
}

/// Twenty occurrences, ten times each at once, are stored once, under numbers without a gap.
pub(crate) async fn fires_are_stored_once(
    store: Arc<dyn NotificationStore>,
    schedules: Arc<dyn ScheduleStore>,
    ids: Arc<dyn IdSource>,
) {
    let user = UserId::new(ids.next_id());
    let jobs = Arc::new(FakeJobs::new());
    let schedules = Schedules::builder(schedules, jobs, ids.clone());
    let new: NewSchedule =
        serde_json::from_str(r#"{"cron":"@daily","tz":"UTC","title":"Water"}"#).unwrap();
    let schedule = schedules.build().unwrap().create(user, new).await.unwrap();

    let mut fires = JoinSet::new();
    for n in 0..200 {
        let occurrence = Occurrence {
            schedule_id: schedule.id,
            scheduled_for: at(n % 20),
        };
        let (store, draft) = (store.clone(), draft(&*ids, user, at(0)));
        fires.spawn(async move { store.fire(&draft, occurrence).await.unwrap() });
    }
    let fired = fires.join_all().await.into_iter();
    let mut seqs: Vec<_> = fired
        .filter_map(|fired| match fired {
            FireOutcome::Stored(stored) => Some(stored.seq),
            _ => None,
        })
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    let log = store.events(user, 0, 100).await.unwrap();
    assert_eq!(offsets(log.events), (1..=20).collect::<Vec<_>>());
}

/// Of sixteen publications at once under one key one is stored, and all get it as their answer.
pub(crate) async fn key_publishes_once_at_once(
    store: Arc<dyn NotificationStore>,
    ids: &dyn IdSource,
) {
    let (user, caller) = (UserId::new(ids.next_id()), UserId::new(ids.next_id()));
    let claim = steadfast_notifications::IdempotencyClaim {
        caller,
        key: "deploy-1".into(),
        body_hash: [1; 32],
        expires_at: at(60),
    };
    let mut publishing = JoinSet::new();
    for _ in 0..16 {
        let (store, claim, draft) = (store.clone(), claim.clone(), draft(ids, user, at(0)));
        publishing.spawn(async move { store.publish(&draft, Some(&claim)).await.unwrap() });
    }
    let mut answers = Vec::new();
    let mut stored = 0;
    for outcome in publishing.join_all().await {
        match outcome {
            PublishOutcome::Stored(answer) => {
                stored += 1;
                answers.push(answer);
            }
            PublishOutcome::Replayed(answer) => answers.push(answer),
            PublishOutcome::KeyReused => panic!("it is the same body"),
        }
    }
    assert_eq!((stored, answers.len()), (1, 16));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(store.events(user, 0, 9).await.unwrap().newest, 1);
}

/// Sixty-four publishers of one user, and as many of a user each, leave no gap in any numbers.
pub(crate) async fn publishers_leave_no_gap(
    store: Arc<dyn NotificationStore>,
    ids: Arc<dyn IdSource>,
) {
    const PUBLISHERS: u64 = 64;
    const EACH: u64 = 4;
    let shared = UserId::new(ids.next_id());
    let mut publishing = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (store, ids) = (store.clone(), ids.clone());
        publishing.spawn(async move {
            let own = UserId::new(ids.next_id());
            for _ in 0..EACH {
                for user in [shared, own] {
                    let draft = draft(&*ids, user, at(0));
                    store.publish(&draft, None).await.unwrap();
                }
            }
            own
        });
    }
    let owners = publishing.join_all().await.into_iter();
    let users = owners.map(|own| (own, EACH));
    for (user, count) in users.chain([(shared, PUBLISHERS * EACH)]) {
        let log = store.events(user, 0, 999).await.unwrap();
        assert_eq!(log.newest, count);
        assert!(offsets(log.events).into_iter().eq(1..=count));
        let query = steadfast_notifications::NotificationQuery {
            order: steadfast_notifications::Order::OldestFirst { after: 0 },
            unread: false,
            limit: 999,
        };
        let stored = store.list(user, query).await.unwrap();
        assert!(stored.into_iter().map(|it| it.seq).eq(1..=count));
    }
}

/// Two stores on one database leave no gap while a cleanup deletes what they write.
pub(crate) async fn cleanup_leaves_no_gap(
    writers: [Arc<dyn NotificationStore>; 2],
    privacy: &dyn RetentionStore,
    ids: &dyn IdSource,
) {
    let user = UserId::new(ids.next_id());
    let (old, new) = (at(0), at(3_600));
    let mut publishing = JoinSet::new();
    for n in 0..200_usize {
        let draft = draft(ids, user, if n % 2 == 0 { old } else { new });
        let store = writers[n / 2 % 2].clone();
        publishing.spawn(async move { store.publish(&draft, None).await.unwrap() });
    }
    let records = Records::UnreadNotifications;
    let mut deleted = 0;
    let mut seqs = Vec::new();
    while let Some(outcome) = publishing.join_next().await {
        if let PublishOutcome::Stored(stored) = outcome.unwrap() {
            seqs.push(stored.seq);
        }
        deleted += privacy.delete_batch(records, new, 3).await.unwrap();
    }
    while deleted < 100 {
        deleted += privacy.delete_batch(records, new, 30).await.unwrap();
    }
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=200));
    let log = writers[1].events(user, 0, 999).await.unwrap();
    assert!(offsets(log.events).into_iter().eq(1..=200));
    let left = privacy.count_expired(records, Timestamp::MAX).await;
    let oldest = privacy.oldest(records).await.unwrap();
    assert_eq!((left.unwrap(), oldest), (100, Some(new)));
}

/// An event that cannot be read, which `poison` makes of one of a user's, blocks nobody and leaves
/// a gap that can be seen.
pub(crate) async fn unreadable_event_blocks_nobody<S>(
    store: &S,
    ids: &dyn IdSource,
    poison: impl AsyncFnOnce(Uuid, i64),
) where
    S: NotificationStore + OutboxStore,
{
    let [poisoned, other] = [(); 2].map(|()| UserId::new(ids.next_id()));
    for user in [poisoned, poisoned, poisoned, other] {
        let draft = draft(ids, user, at(0));
        store.publish(&draft, None).await.unwrap();
    }
    poison(poisoned.uuid(), 2).await;

    let log = store.events(poisoned, 0, 9).await.unwrap();
    assert_eq!((log.newest, offsets(log.events)), (3, vec![1, 3]));
    let claims = store.claim(at(0), Timestamp::MAX, 9, 9).await.unwrap();
    let claimed = |user| {
        let claim = claims.iter().find(|claim| claim.user_id == user).unwrap();
        offsets(claim.events.clone())
    };
    assert_eq!((claimed(poisoned), claimed(other)), (vec![1, 3], vec![1]));
}

/// A user whose events are gone before they were pushed is done with after one claim.
pub(crate) async fn events_that_are_gone_are_passed_over<S>(
    store: &S,
    privacy: &dyn RetentionStore,
    ids: &dyn IdSource,
) where
    S: NotificationStore + OutboxStore,
{
    let user = UserId::new(ids.next_id());
    for _ in 0..2 {
        let draft = draft(ids, user, at(0));
        store.publish(&draft, None).await.unwrap();
    }
    let gone = privacy.delete_batch(Records::UserEvents, at(1), 9).await;
    assert_eq!(gone.unwrap(), 2);
    let claims = store.claim(at(1), at(31), 9, 9).await.unwrap();
    assert_eq!(offsets(claims[0].events.clone()), [0; 0]);
    let nothing = steadfast_notifications::Settlement::Pushed {
        pushed: None,
        at: at(2),
    };
    store.settle(&claims[0], nothing).await.unwrap();
    assert_eq!(store.claim(at(3), at(33), 9, 9).await.unwrap(), []);

    store.publish(&draft(ids, user, at(3)), None).await.unwrap();
    let claims = store.claim(at(4), at(34), 9, 9).await.unwrap();
    assert_eq!(offsets(claims[0].events.clone()), [3]);
}

pub(crate) fn draft(ids: &dyn IdSource, user: UserId, created_at: Timestamp) -> Draft {
    Draft {
        id: NotificationId::new(ids.next_id()),
        user_id: user,
        title: "Water".into(),
        body: String::new(),
        topic: None,
        urgent: false,
        created_at,
        dispatch: Dispatch::single(vec![ChannelKind::Ws], created_at),
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn offsets(events: Vec<UserEvent>) -> Vec<u64> {
    events.into_iter().map(|event| event.offset).collect()
}

pub(crate) fn user(ids: &dyn IdSource, name: &str, role: Role) -> StoredUser {
    StoredUser {
        user: User {
            id: ids.next_id(),
            username: Username::parse(name).unwrap(),
            role,
            created_at: at(0),
        },
        password: format!("hash of {name}"),
    }
}
