//! Drivers in tasks of their own.

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use steadfast_sync::{Closed, Debounce, KeyedThrottle, Throttle};
use tokio::time::sleep;

use crate::support::millis;

#[tokio::test(start_paused = true)]
async fn spawned_one_runs_by_itself_and_close_drains_and_ends_the_task() {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&runs);
    let debounce = Debounce::new(millis(100)).unwrap().spawn(move |value| {
        let log = Arc::clone(&log);
        async move {
            sleep(millis(10)).await;
            log.lock().unwrap().push(value);
        }
    });
    debounce.call(1).unwrap();
    debounce.call(2).unwrap();
    sleep(millis(150)).await;
    assert_eq!(*runs.lock().unwrap(), [2]);
    debounce.call(3).unwrap();
    debounce.close().await.unwrap();
    assert_eq!(*runs.lock().unwrap(), [2, 3]);
    assert_eq!(Arc::strong_count(&runs), 1, "the task is over");
}

#[tokio::test(start_paused = true)]
async fn dropped_handle_drops_the_runs_and_what_is_pending() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let throttle = KeyedThrottle::new(millis(100))
        .unwrap()
        .spawn(move |_, value| {
            let inside = Arc::clone(&inside);
            async move {
                pending::<()>().await;
                drop((inside, value));
            }
        });
    for _ in 0..2 {
        throttle.call('a', Arc::clone(&held)).unwrap();
    }
    sleep(millis(1)).await;
    assert_eq!(
        Arc::strong_count(&held),
        5,
        "one in the closure, one run, its value, the next"
    );
    drop(throttle);
    sleep(millis(1)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_that_is_dropped_aborts_the_task() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let throttle = Throttle::new(millis(100)).unwrap().spawn(move |()| {
        let inside = Arc::clone(&inside);
        async move {
            pending::<()>().await;
            drop(inside);
        }
    });
    throttle.call(()).unwrap();
    let late = tokio::time::timeout(millis(500), throttle.close()).await;
    assert!(late.is_err(), "the run never ends");
    sleep(millis(1)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn handle_that_is_shared_can_be_closed_for_calls() {
    let debounce = Debounce::new(millis(100)).unwrap().spawn(|()| async {});
    let shared = Arc::new(debounce);
    shared.call(()).unwrap();
    (**shared).close().await.unwrap();
    assert_eq!(shared.call(()), Err(Closed));
}
