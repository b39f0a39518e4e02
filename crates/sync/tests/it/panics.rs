//! User code that panics where a primitive calls it: nothing stays locked, nobody stays asleep.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use steadfast_clock::ManualClock;
use steadfast_sync::{
    AsyncLock, CircuitBreaker, InitCell, InitError, KeyedRateLimiter, Quota, RateLimiter,
    Semaphore, SingleFlight,
};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use crate::support::{Boxed, EPOCH, WakeCount, millis, poll, poll_with};

/// Panics at the first event.
#[derive(Default)]
struct PanicsOnce(AtomicBool);

impl Subscriber for PanicsOnce {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        assert!(self.0.swap(true, Ordering::SeqCst), "on purpose");
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Runs something whose first event panics, and says whether it did.
fn panics_at_its_event<R>(run: impl FnOnce() -> R) -> bool {
    let run = || tracing::subscriber::with_default(PanicsOnce::default(), run);
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// Panics when its last clone is dropped.
struct PanicsOnDrop;

impl Wake for PanicsOnDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

fn waits<T>(future: &mut Boxed<'_, T>, waker: &Waker) {
    assert!(poll_with(future, waker).is_pending());
}

#[test]
fn panicking_subscriber_leaves_no_key_locked() {
    let lock = AsyncLock::new();
    assert!(panics_at_its_event(|| lock.try_lock(1)));
    assert!(!lock.is_locked(&1), "free key");

    let held = lock.try_lock(1).unwrap();
    let mut waiter: Boxed<'_, _> = Box::pin(lock.lock(1));
    waits(&mut waiter, Waker::noop());
    drop(held);
    assert!(panics_at_its_event(|| poll(&mut waiter).is_ready()));
    drop(waiter);
    assert!(!lock.is_locked(&1), "granted key");
}

#[test]
fn panicking_subscriber_leaves_no_permit_in_use() {
    let semaphore = Semaphore::new(1).unwrap();
    assert!(panics_at_its_event(|| semaphore.try_acquire(1)));
    assert_eq!(semaphore.available(), 1, "free permit");

    let held = semaphore.try_acquire(1).unwrap();
    let mut waiter: Boxed<'_, _> = Box::pin(semaphore.acquire(1));
    waits(&mut waiter, Waker::noop());
    drop(held);
    assert!(panics_at_its_event(|| poll(&mut waiter).is_ready()));
    drop(waiter);
    assert_eq!(semaphore.available(), 1, "granted permit");
}

#[test]
fn panicking_subscriber_leaves_the_attempt_to_the_others() {
    let cell = InitCell::<u8, &str>::new();
    let join = || -> Boxed<'_, _> { Box::pin(cell.get_or_init(async |_| Ok(7))) };
    let (mut first, mut second) = (join(), join());
    assert!(panics_at_its_event(|| poll(&mut first).is_ready()));
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(value)) if *value == 7));
    drop(first);

    cell.reset();
    let (open, opened) = tokio::sync::oneshot::channel::<()>();
    let fails = |_| async {
        let _ = opened.await;
        Err("down")
    };
    let mut first: Boxed<'_, _> = Box::pin(cell.get_or_init(fails));
    waits(&mut first, Waker::noop());
    let mut second = join();
    waits(&mut second, Waker::noop());
    open.send(()).unwrap();
    assert!(panics_at_its_event(|| poll(&mut first).is_ready()));
    let outcome = poll(&mut second);
    assert!(matches!(outcome, Poll::Ready(Err(InitError::Failed(_)))));
}

#[test]
fn panicking_subscriber_leaves_the_flight_to_the_others() {
    let group = SingleFlight::<u8, u8, ()>::new();
    let (open, opened) = tokio::sync::oneshot::channel::<()>();
    let work = || async {
        let _ = opened.await;
        Ok(7)
    };
    let mut first: Boxed<'_, _> = Box::pin(group.run(1, work));
    let mut second: Boxed<'_, _> = Box::pin(group.run(1, std::future::pending));
    assert!(panics_at_its_event(|| poll(&mut first).is_ready()));
    assert_eq!(group.callers(&1), 1);
    waits(&mut second, Waker::noop());
    open.send(()).unwrap();
    assert!(panics_at_its_event(|| poll(&mut second).is_ready()));
    assert_eq!(group.in_flight(), 0);
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(7))));

    let mut at_once: Boxed<'_, _> = Box::pin(group.run(1, async || Ok(7)));
    assert!(panics_at_its_event(|| poll(&mut at_once).is_ready()));
    assert_eq!(group.in_flight(), 0);

    let mut alone: Boxed<'_, _> = Box::pin(group.run(1, std::future::pending));
    waits(&mut alone, Waker::noop());
    assert!(panics_at_its_event(|| drop(alone)));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn panicking_hash_or_eq_of_a_key_leaves_the_flights_as_they_are() {
    struct Key(bool);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(!self.0 && !other.0, "on purpose");
            true
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }
    let group = SingleFlight::<Key, u8, ()>::new();
    let mut first: Boxed<'_, _> = Box::pin(group.run(Key(false), std::future::pending));
    waits(&mut first, Waker::noop());
    let mut bad: Boxed<'_, _> = Box::pin(group.run(Key(true), async || Ok(1)));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut bad).is_ready())).is_err());
    drop(bad);
    assert_eq!((group.in_flight(), group.callers(&Key(false))), (1, 1));
    drop(first);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn panicking_waker_of_a_waiter_that_left_keeps_nobody_asleep() {
    let semaphore = Semaphore::new(2).unwrap();
    let _held = semaphore.try_acquire(1).unwrap();
    let mut wants_two: Boxed<'_, _> = Box::pin(semaphore.acquire(2));
    let mut wants_one: Boxed<'_, _> = Box::pin(semaphore.acquire(1));
    let woken = Arc::new(WakeCount::default());
    waits(&mut wants_two, &Arc::new(PanicsOnDrop).into());
    waits(&mut wants_one, &Arc::clone(&woken).into());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(wants_two))).is_err());
    assert_eq!(woken.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn panicking_waker_of_a_caller_that_left_the_line_keeps_nobody_asleep() {
    let quota = Quota::per_second(1).unwrap();
    let (direct, keyed) = (RateLimiter::new(quota), KeyedRateLimiter::new(quota));
    direct.try_acquire(1).unwrap();
    keyed.try_acquire(&1, 1).unwrap();
    let acquire = |keys: bool| -> Boxed<'_, _> {
        if keys {
            Box::pin(keyed.acquire(&1, 1))
        } else {
            Box::pin(direct.acquire(1))
        }
    };
    for keys in [false, true] {
        let (mut first, mut second) = (acquire(keys), acquire(keys));
        let woken = Arc::new(WakeCount::default());
        waits(&mut first, &Arc::new(PanicsOnDrop).into());
        waits(&mut second, &Arc::clone(&woken).into());
        let _ = catch_unwind(AssertUnwindSafe(|| drop(first)));
        assert_eq!(woken.get(), 1, "keyed: {keys}");
    }
}

#[test]
fn panicking_subscriber_leaves_no_probe_out() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(1)
        .clock(clock.clone());
    let breaker = builder.build().unwrap();
    assert!(panics_at_its_event(|| breaker
        .try_acquire()
        .unwrap()
        .failure()));
    clock.advance(millis(60_000));
    assert!(panics_at_its_event(|| breaker.try_acquire()));
    assert_eq!(breaker.snapshot().half_open_pending, 0);
    assert!(breaker.try_acquire().is_ok());
}
