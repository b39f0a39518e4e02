//! Folding: what is in hand is neither run, nor lost, nor brought back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, OnceLock},
    task::Poll,
};

use steadfast_sync::{Debounce, Edges, KeyedDebounce};
use tokio::{task::JoinSet, time::advance};

use crate::support::{Boxed, millis, poll};

type Numbers = Vec<u32>;

/// Runs something in the middle of each fold.
type Meanwhile = Box<dyn Fn(&Debounce<Numbers>) + Send + Sync>;

fn append(mut held: Numbers, new: Numbers) -> Numbers {
    held.extend(new);
    held
}

/// A debounce whose folds call `meanwhile`.
fn folding(meanwhile: Meanwhile) -> Arc<Debounce<Numbers>> {
    let place: Arc<OnceLock<std::sync::Weak<Debounce<Numbers>>>> = Arc::default();
    let inner = Arc::clone(&place);
    let debounce = Debounce::builder(millis(100))
        .fold(move |held, new| {
            meanwhile(&inner.get().unwrap().upgrade().unwrap());
            append(held, new)
        })
        .build();
    let debounce = Arc::new(debounce.unwrap());
    place.set(Arc::downgrade(&debounce)).unwrap();
    debounce
}

/// A driver that notes what is run.
fn drive<'a>(debounce: &'a Debounce<Numbers>, runs: &'a Mutex<Vec<Numbers>>) -> Boxed<'a, ()> {
    Box::pin(async {
        let drive = debounce.drive(|numbers| {
            runs.lock().unwrap().push(numbers);
            async {}
        });
        drive.await.unwrap();
    })
}

/// Closes, and says what was run on the whole.
async fn drained(debounce: &Debounce<Numbers>) -> Vec<Numbers> {
    let runs = Mutex::new(Vec::new());
    let ((), closed) = tokio::join!(drive(debounce, &runs), debounce.close());
    closed.unwrap();
    runs.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_window_are_folded_in_order_and_the_leading_one_is_apart() {
    let builder = Debounce::builder(millis(100)).edges(Edges::Both);
    let debounce = builder.fold(append).build().unwrap();
    let runs = Mutex::new(Vec::new());
    let mut driver = drive(&debounce, &runs);
    for number in 0..4 {
        debounce.call(vec![number]).unwrap();
        assert!(poll(&mut driver).is_pending());
    }
    advance(millis(100)).await;
    assert!(poll(&mut driver).is_pending());
    debounce.call(vec![4]).unwrap();
    advance(millis(100)).await;
    assert!(poll(&mut driver).is_pending());
    assert_eq!(*runs.lock().unwrap(), [vec![0], vec![1, 2, 3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_in_the_middle_of_a_fold_is_run_after_it() {
    let debounce = folding(Box::new(|debounce| {
        // A flush makes it due; a driver comes by and a closing caller too.
        debounce.flush();
        assert!(debounce.is_pending());
        let seen = debounce.snapshot();
        assert_eq!((seen.pending, seen.running, seen.due_in), (1, 0, None));
        let runs = Mutex::new(Vec::new());
        assert!(poll(&mut drive(debounce, &runs)).is_pending());
        assert!(runs.into_inner().unwrap().is_empty(), "half of it is run");
    }));
    debounce.call(vec![1]).unwrap();
    debounce.call(vec![2]).unwrap();
    let runs = Mutex::new(Vec::new());
    let mut driver = drive(&debounce, &runs);
    assert!(poll(&mut driver).is_pending());
    assert_eq!(*runs.lock().unwrap(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn close_in_the_middle_of_a_fold_waits_for_it() {
    let debounce = folding(Box::new(|debounce| {
        let runs = Mutex::new(Vec::new());
        let mut driver = drive(debounce, &runs);
        assert!(poll(&mut driver).is_pending());
        assert!(poll(&mut Box::pin(debounce.close())).is_pending());
        assert!(
            poll(&mut driver).is_pending(),
            "it stops with a call in hand"
        );
    }));
    debounce.call(vec![1]).unwrap();
    debounce.call(vec![2]).unwrap();
    assert_eq!(drained(&debounce).await, [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn cancel_in_the_middle_of_a_fold_drops_what_is_in_hand() {
    let debounce = folding(Box::new(|debounce| debounce.cancel()));
    debounce.call(vec![1]).unwrap();
    debounce.call(vec![2]).unwrap();
    assert!(!debounce.is_pending());
    assert_eq!(debounce.snapshot().keys, 0);
    debounce.call(vec![3]).unwrap();
    assert_eq!(drained(&debounce).await, [[3]]);
}

#[tokio::test(start_paused = true)]
async fn cancel_in_the_middle_of_a_fold_holds_while_a_run_keeps_the_key() {
    let debounce = folding(Box::new(|debounce| debounce.cancel()));
    let mut driver = Box::pin(debounce.drive(|_| std::future::pending()));
    debounce.call(vec![1]).unwrap();
    debounce.flush();
    assert!(poll(&mut driver).is_pending());
    debounce.call(vec![2]).unwrap();
    debounce.call(vec![3]).unwrap();
    assert!(!debounce.is_pending());
    assert_eq!(debounce.snapshot().running, 1);
    drop(driver);
    debounce.call(vec![4]).unwrap();
    assert_eq!(drained(&debounce).await, [[4]]);
}

#[tokio::test(start_paused = true)]
async fn call_after_a_cancel_in_the_middle_of_a_fold_stays_alone() {
    let debounce = folding(Box::new(|debounce| {
        debounce.cancel();
        debounce.call(vec![3]).unwrap();
    }));
    debounce.call(vec![1]).unwrap();
    debounce.call(vec![2]).unwrap();
    assert_eq!(drained(&debounce).await, [[3]]);
}

#[tokio::test(start_paused = true)]
async fn call_in_the_middle_of_a_fold_is_folded_too() {
    let is_first = Mutex::new(true);
    let debounce = folding(Box::new(move |debounce| {
        if std::mem::take(&mut *is_first.lock().unwrap()) {
            debounce.call(vec![3]).unwrap();
        }
    }));
    debounce.call(vec![1]).unwrap();
    debounce.call(vec![2]).unwrap();
    assert_eq!(drained(&debounce).await, [[1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn fold_that_panics_loses_what_it_folded_and_nothing_else() {
    let debounce = folding(Box::new(|_| panic!("on purpose")));
    let panics = || catch_unwind(AssertUnwindSafe(|| debounce.call(vec![2]))).is_err();
    debounce.call(vec![1]).unwrap();
    assert!(panics());
    assert!(!debounce.is_pending());
    assert_eq!(debounce.snapshot().keys, 1, "the window stays");
    debounce.call(vec![3]).unwrap();
    let runs = Mutex::new(Vec::new());
    let mut driver = drive(&debounce, &runs);
    assert!(poll(&mut driver).is_pending());
    advance(millis(100)).await;
    assert!(poll(&mut driver).is_pending());
    assert_eq!(*runs.lock().unwrap(), [[3]]);
    assert_eq!(poll(&mut Box::pin(debounce.close())), Poll::Ready(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn call_in_the_middle_of_a_fold_that_panics_stays() {
    let debounce = folding(Box::new(|debounce| {
        debounce.call(vec![3]).unwrap();
        panic!("on purpose");
    }));
    debounce.call(vec![1]).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| debounce.call(vec![2]))).is_err());
    assert!(debounce.is_pending());
    assert_eq!(drained(&debounce).await, [[3]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_value_is_run_once_when_many_fold_at_a_time() {
    const CALLERS: u64 = 8;
    const ROUNDS: u64 = 500;
    let debounce = KeyedDebounce::builder(millis(1)).max_wait(millis(1));
    let debounce = debounce.fold(|a: u64, b: u64| a + b).build().unwrap();
    let (debounce, sum) = (Arc::new(debounce), Arc::new(Mutex::new([0; 2])));
    let (driven, seen) = (Arc::clone(&debounce), Arc::clone(&sum));
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let run = |key: usize, value| {
            seen.lock().unwrap()[key] += value;
            async {}
        };
        driven.drive(run).await.unwrap();
    });
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let debounce = Arc::clone(&debounce);
        callers.spawn(async move {
            for round in 0..ROUNDS {
                debounce.call((caller % 2) as usize, round).unwrap();
                if round % 7 == 0 {
                    debounce.flush_all();
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    callers.join_all().await;
    debounce.close().await.unwrap();
    driver.join_all().await;
    let each = CALLERS / 2 * (ROUNDS * (ROUNDS - 1) / 2);
    assert_eq!(*sum.lock().unwrap(), [each; 2]);
}
