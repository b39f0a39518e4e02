//! Work that goes on when nobody waits for it.

use std::sync::Arc;

use steadfast_sync::{FlightError, OnUnobserved, SingleFlight, test_util::cancel_at_every_poll};
use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
    task::yield_now,
};

use super::{Group, joining, pending, waiting};
use crate::support::{Boxed, Warnings, poll};

fn detaching() -> Group {
    let builder = SingleFlight::builder().name("group");
    builder.on_unobserved(OnUnobserved::Detach).build().unwrap()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn detached_work_goes_on_in_one_task_and_later_callers_join_it() {
    let (group, gate) = (detaching(), Arc::new(Notify::new()));
    drop(pending(waiting(&group, &gate, 1)));
    assert_eq!(
        (group.in_flight(), group.callers(&"key"), tasks()),
        (1, 0, 1)
    );
    assert_eq!(group.snapshot().unobserved, 1);
    for _ in 0..3 {
        yield_now().await;
        let (a, b) = (joining(&group, "key"), joining(&group, "key"));
        let joined = (pending(a), pending(b));
        assert_eq!(group.callers(&"key"), 2);
        drop(joined);
        assert_eq!((group.in_flight(), tasks()), (1, 1));
    }
    let last = pending(joining(&group, "key"));
    gate.notify_one();
    assert_eq!(last.await.unwrap(), 1);
    assert_eq!(group.in_flight(), 0);
    while tasks() > 0 {
        yield_now().await;
    }
    assert_eq!(Arc::strong_count(&gate), 1);
}

#[tokio::test]
async fn outcome_of_detached_work_ends_its_flight() {
    let (group, gate) = (detaching(), Arc::new(Notify::new()));
    drop(pending(waiting(&group, &gate, 1)));
    gate.notify_one();
    while group.in_flight() > 0 {
        yield_now().await;
    }
    gate.notify_one();
    assert_eq!(waiting(&group, &gate, 2).await.unwrap(), 2, "a later call");
}

#[tokio::test]
async fn panic_in_detached_work_is_an_event_and_ends_its_flight() {
    let group = detaching();
    let warnings = Warnings::record();
    let mut panics: Boxed<'_, Result<u64, FlightError<_>>> = Box::pin(group.run("key", || async {
        yield_now().await;
        panic!("on purpose")
    }));
    assert!(poll(&mut panics).is_pending());
    drop(panics);
    while group.in_flight() > 0 {
        yield_now().await;
    }
    let warning = warnings.take_one();
    assert!(warning.contains("flight panicked"), "{warning}");
    assert!(warning.contains("is_unobserved=true"), "{warning}");
    assert_eq!(group.snapshot().panicked, 1);
}

#[tokio::test]
async fn caller_dropped_at_any_poll_leaves_the_work_to_one_task_which_ends_it() {
    let (group, running) = (detaching(), Arc::new(()));
    let polls = cancel_at_every_poll(
        |_| {
            let running = Arc::clone(&running);
            group.run("key", || async move {
                for _ in 0..5 {
                    yield_now().await;
                }
                drop(running);
                Ok(1)
            })
        },
        |_| assert!(group.in_flight() <= 1 && tasks() <= 1),
    );
    assert!(polls.await >= 1);
    while tasks() > 0 {
        yield_now().await;
    }
    assert_eq!((group.in_flight(), Arc::strong_count(&running)), (0, 1));
}

#[test]
fn outside_of_a_runtime_the_work_is_dropped_and_a_warning_says_so() {
    let (group, gate) = (detaching(), Arc::new(Notify::new()));
    let warnings = Warnings::record();
    drop(pending(waiting(&group, &gate, 1)));
    assert_eq!((group.in_flight(), Arc::strong_count(&gate)), (0, 1));
    let warning = warnings.take_one();
    assert!(warning.contains("no runtime"), "{warning}");
}

#[test]
fn end_of_the_runtime_ends_detached_work() {
    let (group, gate) = (detaching(), Arc::new(Notify::new()));
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(pending(waiting(&group, &gate, 1))) });
    assert_eq!((group.in_flight(), Arc::strong_count(&gate)), (1, 2));
    let joined = pending(joining(&group, "key"));
    drop(runtime);
    assert_eq!(group.callers(&"key"), 1);
    drop(joined);
    assert_eq!((group.in_flight(), Arc::strong_count(&gate)), (0, 1));
}
