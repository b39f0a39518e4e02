//! Every primitive under real threads. The tests wait on values, never on time.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
};

use steadfast_clock::ManualClock;
use steadfast_sync::{
    AsyncLock, BreakerState, CircuitBreaker, Decision, FlightError, InitCell, KeyedRateLimiter,
    Quota, RateLimiter, Retry, Semaphore, SingleFlight,
};
use tokio::task::{JoinSet, yield_now};

use crate::support::{Boxed, EPOCH, Random, millis, poll};

const TASKS: usize = 32;
const ROUNDS: usize = 500;

/// Runs so many tasks at once and waits for all of them.
async fn run<F, Fut>(make: F)
where
    F: Fn(Random) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(make(Random::seeded()));
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_holder_per_key_while_waiters_come_and_go() {
    const KEYS: usize = 4;
    let lock = Arc::new(AsyncLock::<usize>::new());
    let inside: Arc<[AtomicBool; KEYS]> = Arc::default();
    let held = Arc::new(AtomicUsize::new(0));
    run(|mut random| {
        let (lock, inside, held) = (Arc::clone(&lock), Arc::clone(&inside), Arc::clone(&held));
        async move {
            for _ in 0..ROUNDS {
                let key = random.below(KEYS);
                if random.below(3) == 0 {
                    // A waiter that gives up after its first poll, granted or not.
                    let mut wait: Boxed<'_, _> = Box::pin(lock.lock(key));
                    if let Poll::Ready(guard) = poll(&mut wait) {
                        drop(guard.unwrap());
                    } else {
                        yield_now().await;
                    }
                    continue;
                }
                let guard = lock.lock(key).await.unwrap();
                assert!(!inside[key].swap(true, Ordering::SeqCst), "two holders");
                if random.below(2) == 0 {
                    yield_now().await;
                }
                assert!(inside[key].swap(false, Ordering::SeqCst));
                held.fetch_add(1, Ordering::SeqCst);
                drop(guard);
            }
        }
    })
    .await;
    assert!(held.load(Ordering::SeqCst) > TASKS * ROUNDS / 2);
    assert!(
        format!("{lock:?}").contains("locked: 0, waiters: 0"),
        "{lock:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn permits_in_use_never_exceed_the_capacity() {
    const CAPACITY: usize = 7;
    let semaphore = Arc::new(Semaphore::new(CAPACITY).unwrap());
    let in_use = Arc::new(AtomicUsize::new(0));
    run(|mut random| {
        let (semaphore, in_use) = (Arc::clone(&semaphore), Arc::clone(&in_use));
        async move {
            for _ in 0..ROUNDS {
                let permits = 1 + random.below(CAPACITY);
                if random.below(3) == 0 {
                    let mut wait: Boxed<'_, _> = Box::pin(semaphore.acquire(permits));
                    drop(poll(&mut wait));
                    yield_now().await;
                    continue;
                }
                let permit = semaphore.acquire(permits).await.unwrap();
                let now = in_use.fetch_add(permits, Ordering::SeqCst) + permits;
                assert!(now <= CAPACITY, "{now} permits in use");
                if random.below(2) == 0 {
                    yield_now().await;
                }
                in_use.fetch_sub(permits, Ordering::SeqCst);
                drop(permit);
            }
        }
    })
    .await;
    assert_eq!((semaphore.available(), semaphore.waiting()), (CAPACITY, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_attempt_at_a_time_while_callers_leave_and_others_reset() {
    struct InFlight(Arc<AtomicU32>);
    impl Drop for InFlight {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let cell = Arc::new(InitCell::<u64, u64>::new());
    let latest = Arc::new(AtomicU64::new(0));
    let in_flight = Arc::new(AtomicU32::new(0));
    run(|mut random| {
        let (cell, latest, in_flight) = (cell.clone(), latest.clone(), in_flight.clone());
        async move {
            for _ in 0..ROUNDS {
                let (seen, running) = (Arc::clone(&latest), Arc::clone(&in_flight));
                let fails = random.below(3) == 0;
                let init = move |generation| async move {
                    let before = seen.swap(generation, Ordering::SeqCst);
                    assert!(before < generation, "attempt {generation} after {before}");
                    running.fetch_add(1, Ordering::SeqCst);
                    let _running = InFlight(running);
                    yield_now().await;
                    yield_now().await;
                    if fails {
                        Err(generation)
                    } else {
                        Ok(generation)
                    }
                };
                let mut wait: Boxed<'_, _> = Box::pin(cell.get_or_init(init));
                match random.below(4) {
                    0 => {
                        let _ = poll(&mut wait);
                    }
                    1 => {
                        let _ = poll(&mut wait);
                        cell.reset();
                    }
                    _ => {
                        let _ = wait.await;
                    }
                }
            }
        }
    })
    .await;
    assert_eq!(in_flight.load(Ordering::SeqCst), 0);
    cell.reset();
    assert!(
        cell.get_or_init(|generation| async move { Ok(generation) })
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_execution_per_key_while_callers_leave() {
    let group = Arc::new(SingleFlight::<usize, usize, usize>::new());
    let latest: Arc<[AtomicUsize; 2]> = Arc::default();
    let executions = Arc::new(AtomicUsize::new(0));
    run(|mut random| {
        let (group, latest) = (Arc::clone(&group), Arc::clone(&latest));
        let executions = Arc::clone(&executions);
        async move {
            for _ in 0..ROUNDS {
                let (key, fails) = (random.below(2), random.below(3) == 0);
                let (latest, executions) = (Arc::clone(&latest), Arc::clone(&executions));
                let work = move || async move {
                    let this = 1 + executions.fetch_add(1, Ordering::SeqCst);
                    latest[key].store(this, Ordering::SeqCst);
                    for _ in 0..2 {
                        yield_now().await;
                        let now = latest[key].load(Ordering::SeqCst);
                        assert_eq!(now, this, "another began meanwhile");
                    }
                    if fails { Err(key) } else { Ok(key) }
                };
                let mut call: Boxed<'_, _> = Box::pin(group.run(key, work));
                if random.below(3) == 0 {
                    let _ = poll(&mut call);
                    continue;
                }
                match call.await {
                    Ok(value) => assert_eq!(value, key),
                    Err(FlightError::Failed(error)) => assert_eq!(*error, key),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    })
    .await;
    assert_eq!(group.in_flight(), 0);
    assert!(executions.load(Ordering::SeqCst) > ROUNDS / 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn probes_never_exceed_the_half_open_permits() {
    const PERMITS: u32 = 3;
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(10));
    let builder = builder
        .half_open_for(millis(1_000_000))
        .half_open_permits(PERMITS);
    let breaker = Arc::new(builder.clock(clock.clone()).build().unwrap());
    for _ in 0..50 {
        breaker.close();
        let _ = breaker.try_acquire().unwrap().failure();
        clock.advance(millis(10));
        let out = Arc::new(AtomicU32::new(0));
        run(|mut random| {
            let (breaker, out) = (Arc::clone(&breaker), Arc::clone(&out));
            async move {
                for _ in 0..20 {
                    let Ok(permit) = breaker.try_acquire() else {
                        continue;
                    };
                    let probes = out.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(probes <= PERMITS, "{probes} probes");
                    if random.below(2) == 0 {
                        yield_now().await;
                    }
                    out.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            }
        })
        .await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let permits: Vec<_> = (0..PERMITS)
            .map(|_| breaker.try_acquire().unwrap())
            .collect();
        assert!(breaker.try_acquire().is_err());
        drop(permits);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limiters_let_through_exactly_the_burst_while_time_stands_still() {
    const BURST: u32 = 1_000;
    let quota = Quota::per_second(1).unwrap().with_burst(BURST).unwrap();
    let clock = Arc::new(ManualClock::new(EPOCH));
    let direct = Arc::new(
        RateLimiter::builder(quota)
            .clock(clock.clone())
            .build()
            .unwrap(),
    );
    let keyed = KeyedRateLimiter::builder(quota).clock(clock.clone());
    let keyed = Arc::new(keyed.build().unwrap());
    let through: Arc<[AtomicU32; 5]> = Arc::default();
    run(|mut random| {
        let (direct, keyed) = (Arc::clone(&direct), Arc::clone(&keyed));
        let through = Arc::clone(&through);
        async move {
            for _ in 0..ROUNDS {
                if direct.try_acquire(1).is_ok() {
                    through[4].fetch_add(1, Ordering::SeqCst);
                }
                let key = random.below(4);
                if keyed.try_acquire(&key, 1).is_ok() {
                    through[key].fetch_add(1, Ordering::SeqCst);
                }
                if random.below(50) == 0 {
                    keyed.sweep();
                    yield_now().await;
                }
            }
        }
    })
    .await;
    for through in through.iter() {
        assert_eq!(through.load(Ordering::SeqCst), BURST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limiter_serves_all_waiters_while_others_give_up() {
    let quota = Quota::per_second(100_000).unwrap().with_burst(50).unwrap();
    let limiter = Arc::new(RateLimiter::new(quota));
    let keyed = Arc::new(KeyedRateLimiter::new(quota));
    run(|mut random| {
        let (limiter, keyed) = (Arc::clone(&limiter), Arc::clone(&keyed));
        async move {
            for _ in 0..20 {
                let (mut a, mut b): (Boxed<'_, _>, Boxed<'_, _>) = (
                    Box::pin(limiter.acquire(20)),
                    Box::pin(keyed.acquire(&1, 20)),
                );
                if random.below(2) == 0 {
                    let _ = (poll(&mut a), poll(&mut b));
                    yield_now().await;
                } else {
                    a.await.unwrap();
                    b.await.unwrap();
                }
            }
        }
    })
    .await;
    assert_eq!((limiter.waiting(), keyed.waiting(&1)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_policy_serves_many_tasks() {
    let builder = Retry::builder()
        .initial_delay(millis(1))
        .max_delay(millis(1));
    let retry = Arc::new(builder.max_attempts(10).build().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    run(|_| {
        let (retry, calls) = (Arc::clone(&retry), Arc::clone(&calls));
        async move {
            let operation = |attempt| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move { if attempt < 4 { Err(()) } else { Ok(attempt) } }
            };
            let outcome = retry.run(operation, |()| Decision::Retry).await;
            assert_eq!(outcome.unwrap(), 4);
        }
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), TASKS * 4);
}
