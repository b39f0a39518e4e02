use std::{
    future::poll_fn,
    hash::{Hash, Hasher},
    sync::{
        Arc, Barrier, Weak,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
    thread,
};

use steadfast_sync::{FlightError, SingleFlight};
use tokio::{
    sync::Notify,
    task::{JoinSet, yield_now},
};

use crate::support::{Boxed, WakeCount, poll, poll_with};

mod delivery;
mod model;
mod seen;
#[cfg(feature = "spawn")]
mod unobserved;

type Group = SingleFlight<&'static str, u64, &'static str>;
type Wait<'a> = Boxed<'a, Result<u64, FlightError<&'static str>>>;

/// A call whose work ends once it is notified.
fn waiting<'a>(group: &'a Group, gate: &Arc<Notify>, value: u64) -> Wait<'a> {
    let gate = Arc::clone(gate);
    Box::pin(group.run("key", move || async move {
        gate.notified().await;
        Ok(value)
    }))
}

/// A call that must not be the one that starts.
fn joining<'a>(group: &'a Group, key: &'static str) -> Wait<'a> {
    Box::pin(group.run(key, || async { panic!("a second execution") }))
}

fn pending<'a>(mut wait: Wait<'a>) -> Wait<'a> {
    assert!(poll(&mut wait).is_pending());
    wait
}

#[tokio::test]
async fn callers_of_one_key_share_one_execution_and_later_ones_start_anew() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let first = pending(waiting(&group, &gate, 1));
    let second = pending(joining(&group, "key"));
    assert_eq!((group.in_flight(), group.callers(&"key")), (1, 2));
    let other = group.run("other", || async { Ok(7) });
    assert_eq!(other.await.unwrap(), 7);

    gate.notify_one();
    assert_eq!(second.await.unwrap(), 1);
    assert_eq!((group.in_flight(), group.callers(&"key")), (0, 0));
    // The first has not been polled since: its outcome waits for it, a later call does not get it.
    gate.notify_one();
    assert_eq!(waiting(&group, &gate, 2).await.unwrap(), 2);
    assert_eq!(first.await.unwrap(), 1);
}

#[tokio::test]
async fn failure_is_shared_and_the_next_call_starts_anew() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let inner = Arc::clone(&gate);
    let first = pending(Box::pin(group.run("key", || async move {
        inner.notified().await;
        Err("no")
    })));
    let second = pending(joining(&group, "key"));
    gate.notify_one();
    let (Err(FlightError::Failed(a)), Err(FlightError::Failed(b))) = (first.await, second.await)
    else {
        panic!("both fail");
    };
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(group.run("key", || async { Ok(3) }).await.unwrap(), 3);
}

#[tokio::test]
async fn parked_leader_does_not_hold_up_the_others() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let parked = pending(waiting(&group, &gate, 1));
    let mut polled = joining(&group, "key");
    let woken = Arc::new(WakeCount::default());
    assert!(poll_with(&mut polled, &Waker::from(Arc::clone(&woken))).is_pending());
    gate.notify_one();
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(&mut polled), Poll::Ready(Ok(1))));
    assert_eq!(parked.await.unwrap(), 1);
}

#[tokio::test]
async fn cancelled_leader_changes_nothing_for_the_others() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let leader = pending(waiting(&group, &gate, 1));
    let follower = pending(joining(&group, "key"));
    drop(leader);
    assert_eq!(group.callers(&"key"), 1);
    gate.notify_one();
    assert_eq!(follower.await.unwrap(), 1);
}

#[tokio::test]
async fn work_is_dropped_with_its_last_caller() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let a = pending(waiting(&group, &gate, 1));
    let b = pending(joining(&group, "key"));
    drop(a);
    assert_eq!((group.in_flight(), Arc::strong_count(&gate)), (1, 2));
    drop(b);
    assert_eq!((group.in_flight(), Arc::strong_count(&gate)), (0, 1));
    gate.notify_one();
    assert_eq!(waiting(&group, &gate, 2).await.unwrap(), 2);
}

#[test]
fn call_that_is_never_polled_starts_nothing() {
    let group = Group::new();
    drop(group.run("key", || async { panic!("on purpose") }));
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test]
async fn panic_reaches_all_as_an_error_and_the_next_call_starts_anew() {
    let (group, gate) = (Group::new(), Arc::new(Notify::new()));
    let inner = Arc::clone(&gate);
    let first = pending(Box::pin(group.run("key", || async move {
        inner.notified().await;
        panic!("on purpose")
    })));
    let second = pending(joining(&group, "key"));
    gate.notify_one();
    for wait in [first, second] {
        let error = wait.await.unwrap_err();
        assert_eq!(error.to_string(), "the shared work panicked: on purpose");
    }
    assert_eq!(group.run("key", || async { Ok(1) }).await.unwrap(), 1);
}

#[tokio::test]
async fn panic_before_there_is_a_future_is_an_error_too() {
    async fn work() -> Result<u64, &'static str> {
        Ok(1)
    }
    let group = Group::new();
    let made = group.run("key", || {
        assert!(group.in_flight() > 1, "on purpose");
        work()
    });
    assert!(matches!(made.await, Err(FlightError::Panicked { .. })));
    assert_eq!(group.in_flight(), 0);
    assert_eq!(group.run("key", work).await.unwrap(), 1);
}

#[tokio::test]
async fn work_that_waits_for_itself_is_told_so() {
    let group = Arc::new(Group::new());
    let (outer, inner) = (Arc::clone(&group), Arc::clone(&group));
    // Through another key, which may well be asked for.
    let outcome = group.run("a", || async move {
        let through = outer.run("b", || async move {
            match inner.run("a", || async { Ok(0) }).await {
                Err(FlightError::Recursive) => Err("recursive"),
                other => panic!("{other:?}"),
            }
        });
        through.await.map_err(|error| match error {
            FlightError::Failed(error) => *error,
            other => panic!("{other:?}"),
        })
    });
    assert!(matches!(outcome.await, Err(FlightError::Failed(error)) if *error == "recursive"));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn caller_that_came_during_anothers_poll_is_woken_to_drive_the_work() {
    let (group, step) = (Group::new(), Arc::new(Barrier::new(2)));
    let mut first_poll = Some(Arc::clone(&step));
    let work = poll_fn(move |_| match first_poll.take() {
        Some(step) => {
            step.wait(); // The other caller comes now,
            step.wait(); // and has gone away.
            Poll::Pending
        }
        None => Poll::Ready(Ok(7)),
    });
    let mut parked: Wait<'_> = Box::pin(group.run("key", || work));
    let mut other = joining(&group, "key");
    let woken = Arc::new(WakeCount::default());
    thread::scope(|scope| {
        let poller = scope.spawn(|| poll(&mut parked).is_pending());
        step.wait();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll_with(&mut other, &waker).is_pending());
        step.wait();
        assert!(poller.join().unwrap());
    });
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(&mut other), Poll::Ready(Ok(7))));
}

#[tokio::test]
async fn hundred_tasks_make_one_execution() {
    let (group, gate) = (Arc::new(Group::new()), Arc::new(Notify::new()));
    let executions = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (group, gate) = (Arc::clone(&group), Arc::clone(&gate));
        let executions = Arc::clone(&executions);
        tasks.spawn(async move {
            let work = || async move {
                executions.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                Ok(5)
            };
            group.run("key", work).await.unwrap()
        });
    }
    while group.callers(&"key") < 100 {
        yield_now().await;
    }
    gate.notify_one();
    assert_eq!(tasks.join_all().await, [5; 100]);
    assert_eq!(executions.load(Ordering::SeqCst), 1);
}

/// A key that looks at the group whenever it is dropped: it would deadlock if that happened under
/// an internal lock.
struct Looks(Weak<SingleFlight<Looks, (), ()>>);

impl PartialEq for Looks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Looks {}

impl Hash for Looks {
    fn hash<H: Hasher>(&self, _: &mut H) {
        self.look();
    }
}

impl Looks {
    fn look(&self) {
        if let Some(group) = self.0.upgrade() {
            let _ = group.in_flight();
        }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

#[tokio::test]
async fn keys_are_hashed_and_dropped_outside_of_locks() {
    let group = Arc::new(SingleFlight::new());
    let call = |gate: &Arc<Notify>| {
        let (key, gate) = (Looks(Arc::downgrade(&group)), Arc::clone(gate));
        let call = group.run(key, || async move {
            gate.notified().await;
            Ok(())
        });
        Box::pin(call)
    };
    let gate = Arc::new(Notify::new());
    let (mut first, mut second, mut left) = (call(&gate), call(&gate), call(&gate));
    for wait in [&mut first, &mut second, &mut left] {
        assert!(poll(wait).is_pending());
    }
    drop(left);
    gate.notify_one();
    assert!(matches!(first.await, Ok(())));
    let mut alone = call(&gate);
    assert!(poll(&mut alone).is_pending());
    drop((second, alone));
    assert_eq!(group.in_flight(), 0);
}
