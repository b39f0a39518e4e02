use std::sync::Arc;

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{
    AsyncLock, CircuitBreaker, Debounce, Decision, InitCell, KeyedRateLimiter, Quota, RateLimiter,
    Retry, Semaphore, SingleFlight, Throttle,
};

use crate::support::millis;

fn assert_send<T: Send>(_: T) {}
fn assert_owned<T: Send + 'static>(_: T) {}
fn assert_shared<T: Send + Sync + 'static>(_: &T) {}

fn key() -> String {
    "key".to_owned()
}

#[test]
fn primitives_futures_and_guards_can_cross_threads() {
    let lock = Arc::new(AsyncLock::<String>::new());
    assert_shared(&lock);
    assert_send(lock.lock(key()));
    assert_send(lock.lock_timeout(key(), millis(1)));
    assert_send(lock.lock_many([key()]));
    assert_send(lock.with_lock(key(), async {}));
    assert_send(lock.try_lock(key()));
    assert_owned(lock.lock_owned(key()));

    let semaphore = Arc::new(Semaphore::new(1).unwrap());
    assert_shared(&semaphore);
    assert_send(semaphore.acquire(1));
    assert_send(semaphore.acquire_timeout(1, millis(1)));
    assert_owned(semaphore.acquire_owned(1));
    assert_owned(semaphore.try_acquire_owned(1));

    let cell = InitCell::<String, String>::new();
    assert_shared(&cell);
    assert_send(cell.get_or_init(|_| async { Ok(key()) }));
    assert_send(cell.try_init(|_| async { Ok(key()) }));

    let group = SingleFlight::<String, String, String>::new();
    assert_shared(&group);
    assert_send(group.run(key(), || async { Ok(key()) }));

    let debounce = Debounce::<String>::new(millis(1)).unwrap();
    assert_shared(&debounce);
    assert_send(debounce.drive(|_| async {}));
    assert_send(debounce.close());
    let throttle = Throttle::<String>::new(millis(1)).unwrap();
    assert_shared(&throttle);
    assert_send(throttle.drive(|_| async {}));
    assert_send(throttle.close());

    let quota = Quota::per_second(1).unwrap();
    let (direct, keyed) = (
        RateLimiter::new(quota),
        KeyedRateLimiter::<String>::new(quota),
    );
    assert_shared(&direct);
    assert_shared(&keyed);
    assert_send(direct.acquire(1));
    assert_send(keyed.acquire(&key(), 1));

    let breaker = CircuitBreaker::builder().build().unwrap();
    assert_shared(&breaker);
    assert_send(breaker.try_acquire());
    assert_send(breaker.until_ready());
    assert_send(breaker.until_ready_timeout(millis(1)));
    let mut changes = breaker.subscribe();
    assert_shared(&changes);
    assert_send(changes.next());
    assert_send(breaker.call(async { Ok::<_, String>(()) }, |_| true));

    let retry = Retry::builder().build().unwrap();
    assert_shared(&retry);
    assert_send(retry.run(|_| async { Ok::<_, String>(()) }, |_| Decision::Retry));
    let far = SystemClock.monotonic();
    assert_send(retry.run_until(far, |_| async { Ok::<_, String>(()) }, |_| Decision::Retry));
}
