use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_notifications::{
    BuildError, ChannelKind, Dispatch, Draft, EventPayload, IdSource, MockOutboxStore, MockPush,
    NewNotification, NotificationId, NotificationStore, OutboxClaim, OutboxRelay, OutboxStore,
    PortError, Push, Settlement, UserEvent, UserId, test_util::RecordingPush,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::World;

struct Relay {
    world: World,
    push: Arc<RecordingPush>,
    relay: OutboxRelay,
}

impl Relay {
    fn new() -> Self {
        let (world, push) = (World::new(), Arc::new(RecordingPush::new()));
        let relay = OutboxRelay::builder(world.store.clone(), push.clone(), world.signal.clone())
            .clock(world.clock.clone())
            .batch_events(2)
            .build()
            .unwrap();
        Self { world, push, relay }
    }

    async fn publish(&self, user: UserId) {
        let new = NewNotification {
            user_id: user,
            title: "Deployed".into(),
            body: String::new(),
            topic: None,
            urgent: false,
            channels: None,
        };
        self.world
            .notifications
            .publish(user, new, None)
            .await
            .unwrap();
    }

    fn start(&self) -> (CancellationToken, AbortOnDropHandle<()>) {
        let (stop, relay) = (CancellationToken::new(), self.relay.clone());
        let running = stop.clone();
        let task = tokio::runtime::Handle::current().spawn(async move { relay.run(running).await });
        (stop, AbortOnDropHandle::new(task))
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_pushed_in_order_as_soon_as_they_are_stored() {
    let relay = Relay::new();
    let (stop, running) = relay.start();
    tokio::task::yield_now().await;
    let stored = relay.world.clock.monotonic();
    for _ in 0..5 {
        relay.publish(relay.world.user).await;
        relay.publish(relay.world.other).await;
    }
    while relay.push.pushed().len() < 10 {
        tokio::task::yield_now().await;
    }
    let waited = relay.world.clock.monotonic() - stored;
    assert_eq!(waited, Duration::ZERO, "it did not wait for its poll");
    assert_eq!(relay.push.offsets(relay.world.user), [1, 2, 3, 4, 5]);
    assert_eq!(relay.push.offsets(relay.world.other), [1, 2, 3, 4, 5]);
    let log = relay
        .world
        .notifications
        .events(relay.world.user, 0, 9)
        .await
        .unwrap();
    let pushed = relay.push.pushed();
    let own: Vec<_> = pushed
        .iter()
        .filter(|pushed| pushed.user == relay.world.user)
        .collect();
    assert!(own.iter().all(|pushed| pushed.epoch == log.epoch));
    assert!(own.iter().map(|pushed| &pushed.event).eq(&log.events));

    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn events_of_another_process_are_found_by_polling() {
    let relay = Relay::new();
    let (_stop, _running) = relay.start();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let World {
        store, user, ids, ..
    } = &relay.world;
    let draft = Draft {
        id: NotificationId::new(ids.next_id()),
        user_id: *user,
        title: "From the command line".into(),
        body: String::new(),
        topic: None,
        urgent: false,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        dispatch: Dispatch::single(vec![ChannelKind::Ws], jiff::Timestamp::UNIX_EPOCH),
    };
    store.publish(&draft, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(relay.push.pushed().is_empty(), "no signal was raised");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(relay.push.offsets(*user), [1]);
}

#[tokio::test(start_paused = true)]
async fn row_20_failing_push_is_retried_with_jitter_and_holds_nobody_else_up() {
    let mut waits = Vec::new();
    for _ in 0..8 {
        let relay = Relay::new();
        relay.push.fail_next(relay.world.user, 2);
        relay.publish(relay.world.user).await;
        relay.publish(relay.world.other).await;
        let started = relay.world.clock.monotonic();
        relay.relay.drain().await.unwrap();
        let pushed = relay.push.pushed();
        let users: Vec<_> = pushed.iter().map(|pushed| pushed.user).collect();
        assert_eq!(users, [relay.world.other, relay.world.user]);
        waits.push(relay.world.clock.monotonic() - started);
    }
    assert!(
        waits.iter().all(|wait| *wait <= Duration::from_millis(160)),
        "{waits:?}"
    );
    waits.dedup();
    assert!(waits.len() > 1, "every wait is the same: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn push_that_keeps_failing_is_put_off_and_order_is_kept() {
    let relay = Relay::new();
    relay.publish(relay.world.user).await;
    relay.relay.drain().await.unwrap();
    // Four tries a claim: the first claim fails as a whole, the second one at its last try.
    relay.push.fail_next(relay.world.user, 7);
    relay.publish(relay.world.user).await;
    relay.publish(relay.world.user).await;
    relay.relay.drain().await.unwrap();
    assert_eq!(relay.push.offsets(relay.world.user), [1]);
    assert_eq!(relay.relay.drain().await.unwrap(), 0, "it is put off");

    relay.publish(relay.world.user).await;
    let (stop, running) = relay.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(relay.push.offsets(relay.world.user), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn event_that_was_pushed_before_a_failure_is_not_pushed_again() {
    let relay = Relay::new();
    relay.publish(relay.world.user).await;
    relay.publish(relay.world.user).await;
    let mut push = MockPush::new();
    push.expect_push()
        .times(5)
        .returning(|_, _, event| match event.offset {
            1 => Ok(()),
            _ => Err(PortError::transient("the hub is gone")),
        });
    let store = relay.world.store.clone();
    let failing = OutboxRelay::builder(store, Arc::new(push), relay.world.signal.clone());
    let failing = failing.clock(relay.world.clock.clone()).build().unwrap();
    failing.drain().await.unwrap();

    relay.world.clock.advance(Duration::from_secs(1));
    relay.relay.drain().await.unwrap();
    assert_eq!(relay.push.offsets(relay.world.user), [2]);
}

#[tokio::test(start_paused = true)]
async fn relay_stops_and_starts_again() {
    let relay = Relay::new();
    let (stop, running) = relay.start();
    stop.cancel();
    running.await.unwrap();
    relay.publish(relay.world.user).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(relay.push.pushed().is_empty());

    let (stop, running) = relay.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(relay.push.offsets(relay.world.user), [1]);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn claim_of_a_relay_that_died_is_pushed_after_its_lease() {
    let relay = Relay::new();
    relay.publish(relay.world.user).await;
    let now = jiff::Timestamp::try_from(relay.world.clock.wall()).unwrap();
    let until = now + jiff::SignedDuration::from_secs(30);
    assert_eq!(
        relay
            .world
            .store
            .claim(now, until, 9, 9)
            .await
            .unwrap()
            .len(),
        1
    );

    let (_stop, _running) = relay.start();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(relay.push.pushed().is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(relay.push.offsets(relay.world.user), [1]);
}

#[tokio::test(start_paused = true)]
async fn claim_of_a_relay_that_died_is_pushed_at_once_after_a_release() {
    let relay = Relay::new();
    relay.publish(relay.world.user).await;
    let now = jiff::Timestamp::try_from(relay.world.clock.wall()).unwrap();
    let until = now + jiff::SignedDuration::from_secs(30);
    let died = relay.world.store.claim(now, until, 9, 9).await.unwrap();
    assert_eq!((died.len(), relay.relay.drain().await.unwrap()), (1, 0));

    assert_eq!(relay.relay.release().await.unwrap(), 1);
    relay.relay.drain().await.unwrap();
    assert_eq!(relay.push.offsets(relay.world.user), [1]);
}

#[tokio::test(start_paused = true)]
async fn event_that_can_never_be_pushed_does_not_block_those_after_it() {
    let relay = Relay::new();
    for _ in 0..3 {
        relay.publish(relay.world.user).await;
    }
    let mut push = MockPush::new();
    push.expect_push()
        .times(3)
        .returning(|_, _, event| match event.offset {
            2 => Err(PortError::permanent("it cannot be encoded")),
            _ => Ok(()),
        });
    let store = relay.world.store.clone();
    let poisoned = OutboxRelay::builder(store, Arc::new(push), relay.world.signal.clone());
    let poisoned = poisoned.clock(relay.world.clock.clone()).build().unwrap();
    assert_eq!(poisoned.drain().await.unwrap(), 1);
    relay.world.clock.advance(Duration::from_secs(120));
    assert_eq!(poisoned.drain().await.unwrap(), 0, "nothing is put off");
}

#[tokio::test(start_paused = true)]
async fn clock_that_is_set_back_delays_no_push() {
    let relay = Relay::new();
    relay.publish(relay.world.user).await;
    relay.push.fail_next(relay.world.user, 4);
    relay.relay.drain().await.unwrap();
    assert!(relay.push.pushed().is_empty(), "it is put off for a second");
    let hour = Duration::from_secs(3_600);
    relay.world.clock.set_wall(relay.world.clock.wall() - hour);
    let (stop, running) = relay.start();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(relay.push.offsets(relay.world.user), [1]);
    stop.cancel();
    running.await.unwrap();
}

/// Takes one user's events as fast as it can and hangs for the other.
struct HangsFor(UserId, Arc<RecordingPush>);

#[async_trait::async_trait]
impl Push for HangsFor {
    async fn push(&self, user: UserId, epoch: &str, event: &UserEvent) -> Result<(), PortError> {
        if user == self.0 {
            std::future::pending::<()>().await;
        }
        self.1.push(user, epoch, event).await
    }
}

#[tokio::test(start_paused = true)]
async fn push_that_hangs_delays_other_users_by_no_more_than_a_poll() {
    let relay = Relay::new();
    let push = Arc::new(HangsFor(relay.world.user, relay.push.clone()));
    let hanging = OutboxRelay::builder(relay.world.store.clone(), push, relay.world.signal.clone());
    let hanging = hanging.clock(relay.world.clock.clone()).build().unwrap();
    relay.publish(relay.world.user).await;
    let stop = CancellationToken::new();
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        relay.publish(relay.world.other).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(relay.push.offsets(relay.world.other), [1]);
        stop.cancel();
    };
    tokio::join!(hanging.run(stop.clone()), later);
}

#[tokio::test(start_paused = true)]
async fn claim_that_takes_long_is_given_back_before_its_lease_ends() {
    let world = World::new();
    let events = (1..=9).map(|offset| UserEvent {
        offset,
        payload: EventPayload::Read { ids: Vec::new() },
    });
    let claim = OutboxClaim {
        user_id: world.user,
        number: 1,
        failures: 0,
        epoch: "e".into(),
        events: events.collect(),
    };
    let mut store = MockOutboxStore::new();
    let mut claims = vec![Vec::new(), vec![claim]];
    store
        .expect_claim()
        .times(2)
        .returning(move |_, _, _, _| Ok(claims.pop().unwrap()));
    // Five seconds each: after the third one half of the thirty seconds is over.
    store
        .expect_settle()
        .times(1)
        .withf(|_, settlement| {
            matches!(
                settlement,
                Settlement::Pushed {
                    pushed: Some(3),
                    ..
                }
            )
        })
        .returning(|_, _| Ok(()));
    let relay = OutboxRelay::builder(Arc::new(store), Arc::new(Slow), world.signal.clone());
    let relay = relay.clock(world.clock.clone()).build().unwrap();
    assert_eq!(relay.drain().await.unwrap(), 1);
}

/// Takes five seconds a push.
struct Slow;

#[async_trait::async_trait]
impl Push for Slow {
    async fn push(&self, _: UserId, _: &str, _: &UserEvent) -> Result<(), PortError> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_is_down_is_asked_again_at_each_poll() {
    let world = World::new();
    let mut store = MockOutboxStore::new();
    store
        .expect_claim()
        .times(5..=7)
        .returning(|_, _, _, _| Err(PortError::transient("down")));
    let push = Arc::new(RecordingPush::new());
    let relay = OutboxRelay::builder(Arc::new(store), push, world.signal.clone())
        .build()
        .unwrap();
    let stop = CancellationToken::new();
    let later = async {
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        stop.cancel();
    };
    tokio::join!(relay.run(stop.clone()), later);
}

#[tokio::test]
async fn builder_names_the_field_at_fault() {
    let relay = Relay::new();
    let builder = || {
        let store = relay.world.store.clone();
        OutboxRelay::builder(store, relay.push.clone(), relay.world.signal.clone())
    };
    let field = |built: Result<_, BuildError>| built.map(drop).unwrap_err().field;
    assert_eq!(field(builder().batch_users(0).build()), "batch_users");
    assert_eq!(field(builder().batch_events(0).build()), "batch_events");
    assert_eq!(field(builder().poll(Duration::ZERO).build()), "poll");
    assert_eq!(
        field(builder().lease(Duration::from_secs(9)).build()),
        "lease"
    );
}
