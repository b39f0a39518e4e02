//! Every public future is dropped at each of its polls, and nothing may stay behind.

use std::{
    fmt::Debug,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{
    AsyncLock, BreakerState, CircuitBreaker, CloseError, Debounce, Decision, InitCell, InitState,
    KeyedRateLimiter, Quota, RateLimiter, Retry, RetryBudget, Semaphore, SingleFlight, Throttle,
    test_util::cancel_at_every_poll,
};
use tokio::{sync::Notify, task::yield_now};

use crate::support::{EPOCH, millis, poll};

mod paced;

/// Runs both to their end; dropped before, it drops `last` after `first`.
async fn both<A: Future, B: Future>(last: A, first: B) -> (A::Output, B::Output) {
    let (mut last, mut first) = (pin!(last), pin!(first));
    let (mut a, mut b) = (None, None);
    poll_fn(|cx| {
        if a.is_none()
            && let Poll::Ready(output) = last.as_mut().poll(cx)
        {
            a = Some(output);
        }
        if b.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(cx)
        {
            b = Some(output);
        }
        match (a.take(), b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (left_a, left_b) => {
                (a, b) = (left_a, left_b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Holds something for a few polls.
async fn hold<T>(held: T) {
    for _ in 0..3 {
        yield_now().await;
    }
    drop(held);
}

fn assert_says(value: &impl Debug, facts: &[&str], polls: usize) {
    let debug = format!("{value:?}");
    for fact in facts {
        assert!(debug.contains(fact), "at poll {polls}: {debug}");
    }
}

/// Runs the harness twice: once the holder goes first when both are dropped, once the waiter.
macro_rules! contended {
    ($hold:expr, $wait:expr, $check:expr) => {{
        let waiter_last = cancel_at_every_poll(
            |_| {
                let held = $hold;
                both(
                    async {
                        let _got = $wait.await.unwrap();
                    },
                    hold(held),
                )
            },
            $check,
        );
        let polls = waiter_last.await;
        assert!(polls >= 4, "it was never in the way: {polls}");
        let holder_last = cancel_at_every_poll(
            |_| {
                let held = $hold;
                both(hold(held), async {
                    let _got = $wait.await.unwrap();
                })
            },
            $check,
        );
        holder_last.await;
    }};
}

/// What was granted to a waiter that is not polled is taken back for the one behind it; both are
/// dropped at each poll, in either order.
macro_rules! past_a_parked_waiter {
    ($hold:expr, $wait:expr, $check:expr) => {
        for parked_last in [true, false] {
            let polls = cancel_at_every_poll(
                |_| async {
                    let held = $hold.unwrap();
                    let mut parked = Box::pin($wait);
                    assert!(poll(&mut parked).is_pending());
                    drop(held);
                    let served = Notify::new();
                    let behind = async {
                        let got = $wait.await.unwrap();
                        yield_now().await;
                        drop(got);
                        served.notify_one();
                    };
                    let parked = async {
                        served.notified().await;
                        drop(parked.await.unwrap());
                    };
                    if parked_last {
                        both(parked, behind).await;
                    } else {
                        both(behind, parked).await;
                    }
                },
                $check,
            );
            assert!(polls.await >= 3);
        }
    };
}

#[tokio::test(start_paused = true)]
async fn locking_leaves_nothing_behind() {
    let lock = Arc::new(AsyncLock::new());
    let check = |polls| assert_says(&lock, &["locked: 0", "waiters: 0"], polls);
    let hold = || lock.try_lock(2).unwrap();
    contended!(hold(), lock.lock(2), check);
    contended!(hold(), lock.lock_owned(2), check);
    contended!(hold(), lock.lock_timeout(2, millis(1_000)), check);
    contended!(hold(), lock.lock_many([3, 2, 1]), check);
    contended!(hold(), lock.with_lock(2, yield_now()), check);
    let deadline = || SystemClock.monotonic() + millis(1_000);
    contended!(hold(), lock.lock_until(2, deadline()), check);
    contended!(hold(), lock.lock_owned_until(2, deadline()), check);
    contended!(hold(), lock.lock_many_until([3, 2, 1], deadline()), check);
}

#[tokio::test(start_paused = true)]
async fn timed_out_locking_leaves_nothing_behind() {
    let lock = AsyncLock::new();
    let polls = cancel_at_every_poll(
        |_| async {
            let _held = lock.try_lock(1).unwrap();
            lock.lock_timeout(1, millis(10)).await.unwrap_err();
        },
        |polls| assert_says(&lock, &["locked: 0", "waiters: 0"], polls),
    );
    assert!(polls.await >= 2);
}

#[tokio::test(start_paused = true)]
async fn locking_past_a_parked_waiter_leaves_nothing_behind() {
    let builder = AsyncLock::builder().grace(millis(10)).revoke_unclaimed();
    let lock = builder.clock(Arc::new(ManualClock::ticking(EPOCH)));
    let lock = lock.build().unwrap();
    let check = |polls| assert_says(&lock, &["locked: 0", "waiters: 0"], polls);
    past_a_parked_waiter!(lock.try_lock(1), lock.lock(1), check);
}

#[tokio::test(start_paused = true)]
async fn acquiring_permits_leaves_nothing_behind() {
    let semaphore = Arc::new(Semaphore::new(3).unwrap());
    let check = |polls| assert_says(&semaphore, &["in_use: 0", "tracked_callers: 0"], polls);
    let hold = || semaphore.try_acquire(2).unwrap();
    contended!(hold(), semaphore.acquire(2), check);
    contended!(hold(), semaphore.acquire_owned(3), check);
    contended!(hold(), semaphore.acquire_timeout(2, millis(1_000)), check);
    let deadline = || SystemClock.monotonic() + millis(1_000);
    contended!(hold(), semaphore.acquire_until(2, deadline()), check);
    contended!(hold(), semaphore.acquire_owned_until(2, deadline()), check);
}

#[tokio::test(start_paused = true)]
async fn acquiring_past_a_parked_waiter_leaves_nothing_behind() {
    let builder = Semaphore::builder(3).grace(millis(10)).revoke_unclaimed();
    let semaphore = builder.clock(Arc::new(ManualClock::ticking(EPOCH)));
    let semaphore = semaphore.build().unwrap();
    let check = |polls| assert_says(&semaphore, &["in_use: 0", "tracked_callers: 0"], polls);
    past_a_parked_waiter!(semaphore.try_acquire(3), semaphore.acquire(2), check);
}

#[tokio::test]
async fn initialising_leaves_no_attempt_behind() {
    for exclusive in [false, true] {
        let cell = InitCell::<(), ()>::new();
        let attempt = |_| async {
            hold(()).await;
            Err(())
        };
        let polls = cancel_at_every_poll(
            |_| async {
                let outcome = if exclusive {
                    cell.try_init(attempt).await
                } else {
                    both(cell.get_or_init(attempt), cell.get_or_init(attempt))
                        .await
                        .0
                };
                outcome.unwrap_err();
            },
            |polls| {
                let state = cell.state();
                let is_over = matches!(state, InitState::Idle | InitState::Failed(_));
                assert!(is_over, "{state:?} at poll {polls}");
            },
        );
        assert!(polls.await >= if exclusive { 4 } else { 2 });
    }
}

#[tokio::test]
async fn shared_work_leaves_no_flight_behind() {
    let (group, running) = (SingleFlight::<u8, (), ()>::new(), Arc::new(()));
    let polls = cancel_at_every_poll(
        |_| async {
            let call = || {
                let running = Arc::clone(&running);
                group.run(1, || async {
                    hold(running).await;
                    Err(())
                })
            };
            let outcomes = both(call(), both(call(), call())).await;
            outcomes.0.unwrap_err();
        },
        |polls| {
            let left = (group.in_flight(), Arc::strong_count(&running));
            assert_eq!(left, (0, 1), "at poll {polls}");
        },
    );
    assert!(polls.await >= 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_limiter_takes_nothing_and_leaves_nothing_behind() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let quota = Quota::per_second(100).unwrap().with_burst(1).unwrap();
    let direct = RateLimiter::builder(quota)
        .clock(clock.clone())
        .grace(millis(5))
        .revoke_unclaimed()
        .build()
        .unwrap();
    let keyed = KeyedRateLimiter::builder(quota)
        .clock(clock.clone())
        .grace(millis(5))
        .revoke_unclaimed()
        .build()
        .unwrap();
    for limited in [None, Some(false), Some(true)] {
        let polls = cancel_at_every_poll(
            |_| async {
                for _ in 0..3 {
                    let patience = millis(1_000);
                    let deadline = clock.monotonic() + patience;
                    match limited {
                        Some(false) => {
                            let wait = direct.acquire_timeout(1, patience);
                            let keyed_wait = keyed.acquire_timeout(&1, 1, patience);
                            let (a, b) = both(wait, keyed_wait).await;
                            a.and(b).unwrap();
                        }
                        Some(true) => {
                            let wait = direct.acquire_until(1, deadline);
                            let keyed_wait = keyed.acquire_until(&1, 1, deadline);
                            let (a, b) = both(wait, keyed_wait).await;
                            a.and(b).unwrap();
                        }
                        None => {
                            let waits = both(direct.acquire(1), direct.acquire(1));
                            both(waits, keyed.acquire(&1, 1)).await.1.unwrap();
                        }
                    }
                }
            },
            |polls| {
                assert_eq!(
                    (direct.waiting(), keyed.waiting(&1)),
                    (0, 0),
                    "at poll {polls}"
                );
                clock.advance(millis(10));
                keyed.sweep();
                assert_eq!((direct.available(), keyed.len()), (1, 0), "at poll {polls}");
            },
        );
        assert!(polls.await >= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_call_leaves_no_permit_out() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(1_000));
    let breaker = builder.clock(clock.clone()).build().unwrap();
    let half_open = || {
        breaker.close();
        let _ = breaker.try_acquire().unwrap().failure();
        clock.advance(millis(1_000));
    };
    half_open();
    let polls = cancel_at_every_poll(
        |_| async {
            let call = async {
                hold(()).await;
                Ok::<_, ()>(())
            };
            breaker.call(call, |()| true).await.unwrap();
        },
        |polls| {
            if breaker.state() == BreakerState::HalfOpen {
                drop(
                    breaker
                        .try_acquire()
                        .unwrap_or_else(|_| panic!("taken at poll {polls}")),
                );
            } else {
                assert_eq!(breaker.state(), BreakerState::Closed);
            }
        },
    );
    assert_eq!(polls.await, 4);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_breaker_leaves_nothing_behind() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(1_000));
    let breaker = builder.clock(clock).build().unwrap();
    let check = |polls| {
        assert_says(&breaker, &["tracked_waiters: 0"], polls);
        assert_eq!(breaker.snapshot().half_open_pending, 0, "at poll {polls}");
    };
    let open = || {
        breaker.close();
        let _ = breaker.try_acquire().unwrap().failure();
    };
    // Each waits for the open time first, and for a probe then.
    let polls = cancel_at_every_poll(
        |_| async {
            open();
            breaker.until_ready().await.unwrap();
            let probe = breaker.try_acquire().unwrap();
            let timed = breaker.until_ready_timeout(millis(500));
            let (_, (a, b)) = both(hold(probe), both(breaker.until_ready(), timed)).await;
            a.and(b).unwrap();
        },
        check,
    );
    assert!(polls.await >= 5);

    let polls = cancel_at_every_poll(
        |_| async {
            breaker.isolate();
            breaker.until_ready_timeout(millis(10)).await.unwrap_err();
        },
        check,
    );
    assert!(polls.await >= 2);

    let polls = cancel_at_every_poll(
        |_| async {
            let mut changes = breaker.subscribe();
            open();
            while changes.next().await.unwrap().unwrap().to != BreakerState::HalfOpen {}
        },
        check,
    );
    assert!(polls.await >= 2);
}

#[tokio::test(start_paused = true)]
async fn retry_drops_its_attempt_and_keeps_no_trace() {
    let budget = Arc::new(RetryBudget::new(1_000, 1.0).unwrap());
    let retry = Retry::builder()
        .budget(Arc::clone(&budget))
        .seed(1)
        .build()
        .unwrap();
    let running = Arc::new(());
    let operation = |_| {
        let running = Arc::clone(&running);
        async move {
            hold(running).await;
            Err::<(), _>(())
        }
    };
    let check = |polls| {
        let left = (Arc::strong_count(&running), retry.snapshot().running);
        assert_eq!(left, (1, 0), "at poll {polls}");
    };
    let run = |_| retry.run(operation, |()| Decision::Retry);
    assert!(cancel_at_every_poll(run, check).await >= 20);
    let far = SystemClock.monotonic() + millis(60_000);
    let run = |_| retry.run_until(far, operation, |()| Decision::Rejected(millis(1)));
    assert!(cancel_at_every_poll(run, check).await >= 20);
}

/// Polls once and drops.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let waker = std::task::Waker::noop();
    pin!(future).poll(&mut std::task::Context::from_waker(waker))
}
