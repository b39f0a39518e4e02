use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
    thread,
};

use steadfast_sync::{InitCell, InitError, InitState};
use tokio::{sync::Notify, task::JoinSet};

use crate::support::{Boxed, WakeCount, poll, poll_with};

mod model;
mod seen;

type Cell = InitCell<u64, &'static str>;
type Wait<'a> = Boxed<'a, Result<Arc<u64>, InitError<&'static str>>>;

/// An attempt that ends once it is notified, with its generation as the value.
fn waiting<'a>(cell: &'a Cell, gate: &Arc<Notify>) -> Wait<'a> {
    let gate = Arc::clone(gate);
    Box::pin(cell.get_or_init(|generation| async move {
        gate.notified().await;
        Ok(generation)
    }))
}

fn pending<'a>(mut wait: Wait<'a>) -> Wait<'a> {
    assert!(poll(&mut wait).is_pending());
    wait
}

#[tokio::test]
async fn row_01_second_caller_joins_the_attempt_and_gets_its_outcome() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let first = pending(waiting(&cell, &gate));
    let mut second: Wait<'_> = Box::pin(cell.get_or_init(|_| async { panic!("a second attempt") }));
    assert!(poll(&mut second).is_pending(), "it must not return early");
    assert_eq!(
        (cell.get(), cell.state()),
        (None, InitState::Initialising(1))
    );

    gate.notify_one();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!((*first, cell.state()), (1, InitState::Ready(1)));
}

#[tokio::test]
async fn row_01_try_init_says_that_an_attempt_is_in_flight() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let first = pending(waiting(&cell, &gate));
    let refused = cell.try_init(|_| async { Ok(0) }).await;
    assert!(matches!(refused, Err(InitError::AlreadyInProgress)));
    gate.notify_one();
    first.await.unwrap();
    assert_eq!(*cell.try_init(|_| async { Ok(0) }).await.unwrap(), 1);
}

#[tokio::test]
async fn row_02_failure_reaches_all_who_joined_and_is_not_cached() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let fail = {
        let gate = Arc::clone(&gate);
        move |_| async move {
            gate.notified().await;
            Err("no database")
        }
    };
    let first: Wait<'_> = pending(Box::pin(cell.get_or_init(fail)));
    let second = pending(waiting(&cell, &gate));
    gate.notify_one();
    let (Err(InitError::Failed(a)), Err(InitError::Failed(b))) = (first.await, second.await) else {
        panic!("both fail");
    };
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(cell.state(), InitState::Failed(1));

    let retried = cell.get_or_init(|generation| async move { Ok(generation) });
    assert_eq!(*retried.await.unwrap(), 2);
}

#[tokio::test]
async fn row_02_reset_cell_initialises_again() {
    let cell = Cell::new();
    for expected in 1..=3 {
        let value = cell.get_or_init(|generation| async move { Ok(generation) });
        assert_eq!(*value.await.unwrap(), expected);
        assert_eq!(cell.reset().as_deref(), Some(&expected));
        assert_eq!((cell.get(), cell.state()), (None, InitState::Idle));
    }
}

#[tokio::test]
async fn reset_ends_the_attempt_in_flight() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let mut wait = waiting(&cell, &gate);
    let woken = Arc::new(WakeCount::default());
    assert!(poll_with(&mut wait, &Waker::from(Arc::clone(&woken))).is_pending());
    assert_eq!(cell.reset(), None);
    assert_eq!((woken.get(), Arc::strong_count(&gate)), (1, 1));
    let next = pending(waiting(&cell, &gate));
    assert!(matches!(
        poll(&mut wait),
        Poll::Ready(Err(InitError::Reset))
    ));
    drop(wait);
    assert_eq!(cell.state(), InitState::Initialising(2));
    gate.notify_one();
    assert_eq!(*next.await.unwrap(), 2);
}

#[tokio::test]
async fn dropped_or_parked_leader_does_not_hold_up_the_others() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let leader = pending(waiting(&cell, &gate));
    let parked = pending(waiting(&cell, &gate));
    let mut polled = waiting(&cell, &gate);
    let woken = Arc::new(WakeCount::default());
    assert!(poll_with(&mut polled, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(leader);
    gate.notify_one();
    assert_eq!(woken.get(), 1);
    assert_eq!(*polled.await.unwrap(), 1);
    assert_eq!(*parked.await.unwrap(), 1);
}

#[test]
fn caller_that_came_during_anothers_poll_is_woken_by_what_happened_then() {
    let (cell, step) = (Cell::new(), Arc::new(Barrier::new(2)));
    let mut first_poll = Some(Arc::clone(&step));
    let attempt = poll_fn(move |cx| match first_poll.take() {
        Some(step) => {
            step.wait(); // The other caller comes now,
            step.wait(); // and has gone away.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        None => Poll::Ready(Ok(7)),
    });
    let mut parked: Wait<'_> = Box::pin(cell.get_or_init(|_| attempt));
    let mut other: Wait<'_> = Box::pin(cell.get_or_init(|_| async { panic!("a second attempt") }));
    let woken = Arc::new(WakeCount::default());
    thread::scope(|scope| {
        let poller = scope.spawn(|| poll(&mut parked).is_pending());
        step.wait();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll_with(&mut other, &waker).is_pending());
        step.wait();
        assert!(poller.join().unwrap());
    });
    // The first caller is not polled again: the attempt is the other one's to drive.
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(&mut other), Poll::Ready(Ok(value)) if *value == 7));
}

#[test]
fn caller_turned_away_from_a_poll_in_which_nothing_happens_is_woken_by_the_next_event_only() {
    let (cell, step, gate) = (
        Cell::new(),
        Arc::new(Barrier::new(2)),
        Arc::new(Notify::new()),
    );
    let (mut first_poll, notify) = (Some(Arc::clone(&step)), Arc::clone(&gate));
    let mut notified = Box::pin(async move { notify.notified().await });
    let attempt = poll_fn(move |cx| {
        let polled = notified.as_mut().poll(cx).map(|()| Ok(7));
        if let Some(step) = first_poll.take() {
            step.wait(); // The other caller comes now,
            step.wait(); // and has gone away.
        }
        polled
    });
    let mut parked: Wait<'_> = Box::pin(cell.get_or_init(|_| attempt));
    let mut other: Wait<'_> = Box::pin(cell.get_or_init(|_| async { panic!("a second attempt") }));
    let woken = Arc::new(WakeCount::default());
    thread::scope(|scope| {
        let poller = scope.spawn(|| poll(&mut parked).is_pending());
        step.wait();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll_with(&mut other, &waker).is_pending());
        step.wait();
        assert!(poller.join().unwrap());
    });
    assert_eq!(woken.get(), 0);
    gate.notify_one();
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(&mut other), Poll::Ready(Ok(value)) if *value == 7));
}

#[tokio::test]
async fn attempt_is_dropped_with_its_last_caller() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let (a, b) = (
        pending(waiting(&cell, &gate)),
        pending(waiting(&cell, &gate)),
    );
    drop(a);
    assert_eq!(cell.state(), InitState::Initialising(1));
    drop(b);
    assert_eq!(
        (cell.state(), Arc::strong_count(&gate)),
        (InitState::Idle, 1)
    );
    gate.notify_one();
    assert_eq!(*waiting(&cell, &gate).await.unwrap(), 2);
}

#[tokio::test]
async fn panic_in_the_attempt_reaches_all_as_an_error() {
    let (cell, gate) = (Cell::new(), Arc::new(Notify::new()));
    let explode = {
        let gate = Arc::clone(&gate);
        move |_| async move {
            gate.notified().await;
            panic!("on purpose")
        }
    };
    let first: Wait<'_> = pending(Box::pin(cell.get_or_init(explode)));
    let second = pending(waiting(&cell, &gate));
    gate.notify_one();
    for wait in [first, second] {
        let error = wait.await.unwrap_err();
        assert_eq!(error.to_string(), "initialisation panicked: on purpose");
    }
    assert_eq!(cell.state(), InitState::Failed(1));
    gate.notify_one();
    assert_eq!(*waiting(&cell, &gate).await.unwrap(), 2);
}

#[tokio::test]
async fn panic_before_there_is_a_future_is_an_error_too() {
    async fn attempt() -> Result<u64, &'static str> {
        Ok(1)
    }
    let cell = Cell::new();
    let made = cell.get_or_init(|generation| {
        assert!(generation > 1, "first attempt");
        attempt()
    });
    assert!(matches!(made.await, Err(InitError::Panicked { .. })));
    assert_eq!(*cell.get_or_init(|_| attempt()).await.unwrap(), 1);
}

#[tokio::test]
async fn attempt_that_waits_for_itself_is_told_so() {
    let cell = Arc::new(Cell::new());
    let inner = Arc::clone(&cell);
    let outcome = cell.get_or_init(|_| async move {
        match inner.get_or_init(|_| async { Ok(0) }).await {
            Err(InitError::Recursive) => Err("recursive"),
            other => panic!("{other:?}"),
        }
    });
    assert!(matches!(outcome.await, Err(InitError::Failed(error)) if *error == "recursive"));
}

#[tokio::test]
async fn cached_reader_follows_the_cell() {
    let cell = Cell::new();
    let mut cached = cell.cached();
    assert_eq!(cached.get(), None);
    cell.get_or_init(|generation| async move { Ok(generation) })
        .await
        .unwrap();
    assert_eq!(cached.get().map(|value| **value), Some(1));
    cell.reset();
    assert_eq!(cached.get(), None);
    cell.get_or_init(|generation| async move { Ok(generation) })
        .await
        .unwrap();
    assert_eq!(cached.get().map(|value| **value), Some(2));
}

#[tokio::test]
async fn hundred_callers_make_one_attempt() {
    let (cell, attempts) = (Arc::new(Cell::new()), Arc::new(AtomicU32::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (cell, attempts) = (Arc::clone(&cell), Arc::clone(&attempts));
        tasks.spawn(async move {
            let init = |generation| async move {
                attempts.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(generation)
            };
            *cell.get_or_init(init).await.unwrap()
        });
    }
    assert_eq!(tasks.join_all().await, [1; 100]);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}
