//! Debounce and throttle: what is run, and what becomes of it.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{CloseError, Closed, Debounce, DriveError, Edges, Paced, Throttle};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::support::{Boxed, EPOCH, WakeCount, millis, poll, poll_with};

mod fold;
mod keyed;
mod model;
mod reentrant_keys;
mod registry;
#[cfg(feature = "spawn")]
mod spawn;
mod traces;

fn debounce(edges: Edges, wait: u64, max_wait: Option<u64>) -> Debounce<u32> {
    let builder = Debounce::<u32>::builder(millis(wait)).edges(edges);
    match max_wait {
        Some(max_wait) => builder.max_wait(millis(max_wait)),
        None => builder,
    }
    .build()
    .unwrap()
}

fn throttle(edges: Edges, interval: u64) -> Throttle<u32> {
    let builder = Throttle::<u32>::builder(millis(interval));
    builder.edges(edges).build().unwrap()
}

async fn panic_is_survived<P>(pacer: Paced<u32, P>) {
    let runs = Mutex::new(Vec::new());
    let driver = pacer.drive(|value| {
        assert_ne!(value, 1, "before there is a future");
        let runs = &runs;
        async move {
            assert_ne!(value, 2, "on purpose");
            runs.lock().unwrap().push(value);
        }
    });
    let script = async {
        for value in 1..=4 {
            pacer.call(value).unwrap();
            sleep(millis(300)).await;
        }
        pacer.close().await.unwrap();
    };
    let (driven, ()) = tokio::join!(driver, script);
    driven.unwrap();
    assert_eq!(*runs.lock().unwrap(), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_run_stops_nothing() {
    panic_is_survived(debounce(Edges::Trailing, 100, None)).await;
    panic_is_survived(throttle(Edges::Both, 100)).await;
}

async fn closes_in_order<P>(pacer: Paced<u32, P>) {
    // Nobody drives, and something is pending.
    pacer.call(1).unwrap();
    assert_eq!(pacer.close().await, Err(CloseError::NotDriven));
    assert_eq!(pacer.call(2), Err(Closed));

    // A driver that is dropped in the middle of its run.
    let mut driver = Box::pin(pacer.drive(|_| pending()));
    assert!(poll(&mut driver).is_pending());
    let mut close = Box::pin(pacer.close());
    assert!(poll(&mut close).is_pending(), "it waits for the run");
    drop(driver);
    assert_eq!(poll(&mut close), Poll::Ready(Ok(())), "nothing is left");
    assert_eq!(pacer.drive(|_| pending()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_runs_but_not_without_a_driver() {
    closes_in_order(debounce(Edges::Trailing, 100, None)).await;
    closes_in_order(debounce(Edges::Leading, 100, None)).await;
    closes_in_order(throttle(Edges::Both, 100)).await;
}

#[tokio::test(start_paused = true)]
async fn close_tells_that_the_driver_went_away() {
    let pacer = throttle(Edges::Both, 100);
    pacer.call(1).unwrap();
    pacer.call(2).unwrap();
    let mut driver = Box::pin(pacer.drive(|_| pending()));
    assert!(poll(&mut driver).is_pending());
    let mut close = Box::pin(pacer.close());
    assert!(poll(&mut close).is_pending());
    drop(driver);
    assert_eq!(close.await, Err(CloseError::NotDriven));
    pacer.cancel();
    assert_eq!(pacer.close().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn those_who_close_are_woken_when_the_driver_goes_away() {
    let pacer = debounce(Edges::Trailing, 100, None);
    pacer.call(1).unwrap();
    let mut driver = Box::pin(pacer.drive(|_| pending()));
    assert!(poll(&mut driver).is_pending());
    pacer.call(2).unwrap();
    pacer.flush();
    assert!(poll(&mut driver).is_pending());
    pacer.call(3).unwrap();
    let (mut close, woken) = (Box::pin(pacer.close()), Arc::new(WakeCount::default()));
    assert!(poll_with(&mut close, &Arc::clone(&woken).into()).is_pending());
    drop(driver);
    assert_eq!(woken.get(), 1);
    assert_eq!(close.await, Err(CloseError::NotDriven));
}

#[tokio::test(start_paused = true)]
async fn call_that_is_due_wakes_a_driver_whose_clock_was_moved_by_hand() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = Throttle::builder(millis(100)).edges(Edges::Leading);
    let throttle = builder.clock(clock.clone()).build().unwrap();
    let mut driver = Box::pin(throttle.drive(|()| async {}));
    let woken = Arc::new(WakeCount::default());
    let waker = Arc::clone(&woken).into();
    throttle.call(()).unwrap();
    for _ in 0..2 {
        assert!(poll_with(&mut driver, &waker).is_pending());
    }
    let before = woken.get();
    clock.advance(millis(100));
    throttle.call(()).unwrap();
    assert_eq!(woken.get(), before + 1);
    assert!(poll_with(&mut driver, &waker).is_pending());
    assert_eq!(throttle.snapshot().runs, 2);
}

#[tokio::test(start_paused = true)]
async fn run_that_is_woken_often_is_polled_once() {
    let throttle = throttle(Edges::Leading, 100);
    let (seen, polls) = (Mutex::new(None), AtomicUsize::new(0));
    let mut driver = Box::pin(throttle.drive(|_| {
        poll_fn(|cx| {
            polls.fetch_add(1, Ordering::SeqCst);
            seen.lock().unwrap().replace(cx.waker().clone());
            Poll::<()>::Pending
        })
    }));
    throttle.call(1).unwrap();
    let woken = Arc::new(WakeCount::default());
    assert!(poll_with(&mut driver, &Arc::clone(&woken).into()).is_pending());
    let waker = seen.lock().unwrap().take().unwrap();
    for _ in 0..3 {
        waker.wake_by_ref();
    }
    assert_eq!(woken.get(), 1);
    assert!(poll(&mut driver).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn second_driver_is_refused_and_the_next_takes_over_what_is_pending() {
    let pacer = debounce(Edges::Trailing, 100, None);
    let mut first = Box::pin(pacer.drive(|_| async { panic!("not yet due") }));
    assert!(poll(&mut first).is_pending());
    pacer.call(7).unwrap();
    assert!(poll(&mut first).is_pending());
    let second = pacer.drive(|_| async {}).await;
    assert_eq!(second, Err(DriveError::AlreadyDriven));
    drop(first);

    let (start, ran) = (SystemClock.monotonic(), Notify::new());
    let next = pacer.drive(|value| {
        assert_eq!((value, start.elapsed()), (7, millis(100)));
        ran.notify_one();
        async {}
    });
    let close = async {
        ran.notified().await;
        pacer.close().await
    };
    assert_eq!(tokio::join!(next, close), (Ok(()), Ok(())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_never_overlap_and_the_last_call_is_run_under_threads() {
    async fn stress<P: 'static>(pacer: Paced<u32, P>) {
        const CALLERS: u32 = 8;
        let (pacer, inside) = (Arc::new(pacer), Arc::new(AtomicBool::new(false)));
        let (count, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(0)));
        let (driven, seen, counted) = (Arc::clone(&pacer), Arc::clone(&last), Arc::clone(&count));
        let mut drivers = JoinSet::new();
        drivers.spawn(async move {
            let run = |value| {
                let (inside, seen) = (Arc::clone(&inside), Arc::clone(&seen));
                counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    assert!(!inside.swap(true, Ordering::SeqCst), "two runs");
                    tokio::task::yield_now().await;
                    *seen.lock().unwrap() = value;
                    assert!(inside.swap(false, Ordering::SeqCst));
                }
            };
            driven.drive(run).await.unwrap();
        });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let pacer = Arc::clone(&pacer);
            callers.spawn(async move {
                for round in 0..500 {
                    pacer.call(round * CALLERS + caller).unwrap();
                    if round % 7 == 0 {
                        pacer.flush();
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        callers.join_all().await;
        pacer.call(u32::MAX).unwrap();
        pacer.close().await.unwrap();
        drivers.join_all().await;
        assert_eq!(*last.lock().unwrap(), u32::MAX);
        assert!(count.load(Ordering::SeqCst) <= 4_001);
        assert!(!pacer.is_pending());
    }
    stress(debounce(Edges::Trailing, 1, Some(2))).await;
    stress(throttle(Edges::Both, 1)).await;
}

/// A value that looks at the instance whenever it is dropped: it would deadlock if that happened
/// under an internal lock.
struct Looks(Weak<Debounce<Looks>>);

impl Drop for Looks {
    fn drop(&mut self) {
        if let Some(debounce) = self.0.upgrade() {
            let _ = debounce.is_pending();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_dropped_outside_of_locks() {
    for edges in [Edges::Leading, Edges::Trailing, Edges::Both] {
        let builder = Debounce::builder(millis(10)).edges(edges);
        let debounce = Arc::new(builder.build().unwrap());
        let call = || debounce.call(Looks(Arc::downgrade(&debounce)));
        for _ in 0..3 {
            call().unwrap();
        }
        debounce.cancel();
        call().unwrap();
        let mut drive: Boxed<'_, _> = Box::pin(debounce.drive(|value| async { drop(value) }));
        assert!(poll(&mut drive).is_pending());
        let (driven, closed) = tokio::join!(drive, debounce.close());
        assert_eq!((driven, closed), (Ok(()), Ok(())));
        assert_eq!(call(), Err(Closed));
    }
}
