//! What keys add: windows of their own, runs side by side, bounds.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::pending,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{
    CloseError, Edges, KeyedDebounce, KeyedPaced, KeyedThrottle, PaceError,
    test_util::cancel_at_every_poll,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{advance, sleep, sleep_until},
};

use crate::support::{WakeCount, millis, poll, poll_with};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    Flush,
    Cancel,
    FlushAll,
    CancelAll,
    Close,
}

use Step::{Call, Cancel, CancelAll, Close, Flush, FlushAll};

type Key = char;

/// Takes the steps at their times; each call's value is its time. Returns when each run began,
/// its key and its value; a run takes `busy`.
async fn trace<P>(
    pacer: KeyedPaced<Key, u64, P>,
    busy: u64,
    steps: &[(u64, Key, Step)],
) -> Vec<(u64, Key, u64)> {
    let (start, runs) = (SystemClock.monotonic(), Mutex::new(Vec::new()));
    let elapsed = || u64::try_from(start.elapsed().as_millis()).unwrap();
    let driver = pacer.drive(|key, value| {
        runs.lock().unwrap().push((elapsed(), key, value));
        sleep(millis(busy))
    });
    let script = async {
        for (at, key, step) in steps {
            sleep_until(start + millis(*at)).await;
            match step {
                Call => pacer.call(*key, *at).unwrap(),
                Flush => pacer.flush(key),
                Cancel => pacer.cancel(key),
                FlushAll => pacer.flush_all(),
                CancelAll => pacer.cancel_all(),
                Close => pacer.close().await.unwrap(),
            }
        }
        sleep(millis(10_000)).await;
        assert!(pacer.is_empty(), "{pacer:?}");
        pacer.close().await.unwrap();
    };
    let (driven, ()) = tokio::join!(driver, script);
    driven.unwrap();
    runs.into_inner().unwrap()
}

type Row = (
    &'static str,
    usize,
    u64,
    &'static [(u64, Key, Step)],
    &'static [(u64, Key, u64)],
);

#[tokio::test(start_paused = true)]
async fn debounced_keys_are_run_as_the_table_says() {
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("each key has a window of its own", 9, 0,
            &[(0, 'a', Call), (50, 'b', Call), (80, 'a', Call)], &[(150, 'b', 50), (180, 'a', 80)]),
        ("runs of different keys run side by side", 9, 500,
            &[(0, 'a', Call), (50, 'b', Call)], &[(100, 'a', 0), (150, 'b', 50)]),
        ("runs of one key do not", 9, 500,
            &[(0, 'a', Call), (200, 'a', Call)], &[(100, 'a', 0), (600, 'a', 200)]),
        ("as many at a time as allowed, in the order in which they are due", 2, 500,
            &[(0, 'c', Call), (10, 'b', Call), (20, 'a', Call), (30, 'd', Call)],
            &[(100, 'c', 0), (110, 'b', 10), (600, 'a', 20), (610, 'd', 30)]),
        ("a key that is due again comes after those due before", 1, 150,
            &[(0, 'a', Call), (10, 'b', Call), (101, 'a', Call)],
            &[(100, 'a', 0), (250, 'b', 10), (400, 'a', 101)]),
        ("cancel and flush are for one key", 9, 0,
            &[(0, 'a', Call), (0, 'b', Call), (0, 'c', Call), (10, 'a', Cancel), (20, 'b', Flush)],
            &[(20, 'b', 0), (100, 'c', 0)]),
        ("flush all and cancel all are for all", 9, 0,
            &[(0, 'a', Call), (1, 'b', Call), (10, ' ', FlushAll), (20, 'a', Call),
                (30, ' ', CancelAll)],
            &[(10, 'a', 0), (10, 'b', 1)]),
        ("close runs what is held", 1, 20,
            &[(0, 'a', Call), (1, 'b', Call), (10, ' ', Close)], &[(10, 'a', 0), (30, 'b', 1)]),
    ];
    for (name, max_concurrency, busy, steps, expected) in table {
        let builder = KeyedDebounce::builder(millis(100)).max_concurrency(*max_concurrency);
        let runs = trace(builder.build().unwrap(), *busy, steps).await;
        assert_eq!(runs, *expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_keys_are_run_as_the_table_says() {
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("each key has a window of its own", 9, 0,
            &[(0, 'a', Call), (50, 'b', Call), (60, 'a', Call), (70, 'b', Call)],
            &[(0, 'a', 0), (50, 'b', 50), (100, 'a', 60), (150, 'b', 70)]),
        ("leading calls wait for a place", 1, 30,
            &[(0, 'a', Call), (1, 'b', Call), (2, 'c', Call)],
            &[(0, 'a', 0), (30, 'b', 1), (60, 'c', 2)]),
        ("cancel forgets the window of one key", 9, 0,
            &[(0, 'a', Call), (0, 'b', Call), (10, 'a', Cancel), (20, 'a', Call), (20, 'b', Call)],
            &[(0, 'a', 0), (0, 'b', 0), (20, 'a', 20), (100, 'b', 20)]),
    ];
    for (name, max_concurrency, busy, steps, expected) in table {
        let builder = KeyedThrottle::builder(millis(100)).max_concurrency(*max_concurrency);
        let runs = trace(builder.build().unwrap(), *busy, steps).await;
        assert_eq!(runs, *expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn key_beyond_the_bound_is_refused_until_another_is_forgotten() {
    let builder = KeyedThrottle::builder(millis(100)).max_keys(2);
    let throttle = builder.edges(Edges::Leading).build().unwrap();
    let mut driver = Box::pin(throttle.drive(|_, ()| async {}));
    throttle.call('a', ()).unwrap();
    throttle.call('b', ()).unwrap();
    let refused = throttle.call('c', ());
    assert_eq!(refused, Err(PaceError::TooManyKeys { max_keys: 2 }));
    throttle.call('a', ()).unwrap();
    throttle.cancel(&'b');
    throttle.call('c', ()).unwrap();
    assert_eq!(throttle.len(), 2);

    // Without a driver, a call forgets windows that have ended.
    assert!(poll(&mut driver).is_pending());
    drop(driver);
    advance(millis(100)).await;
    throttle.call('d', ()).unwrap();
    assert_eq!(throttle.len(), 1);
    throttle.cancel_all();
    assert!(throttle.is_empty());
    throttle.close().await.unwrap();
    assert_eq!(throttle.call('a', ()), Err(PaceError::Closed));
}

#[tokio::test(start_paused = true)]
async fn driver_is_woken_for_news_only_and_forgets_keys_at_the_end_of_their_windows() {
    let debounce = KeyedDebounce::new(millis(100)).unwrap();
    let mut driver = Box::pin(debounce.drive(|_, ()| async {}));
    let woken = Arc::new(WakeCount::default());
    let waker = Arc::clone(&woken).into();
    assert!(poll_with(&mut driver, &waker).is_pending());
    debounce.call(0, ()).unwrap();
    assert_eq!(woken.get(), 1, "there is a timer to set");
    assert!(poll_with(&mut driver, &waker).is_pending());
    for key in 0..100 {
        debounce.call(key, ()).unwrap();
        debounce.call(key, ()).unwrap();
    }
    assert_eq!(woken.get(), 1, "later keys can wait");
    // One window for the call, another for its run. A poll takes a bounded number of steps.
    for _ in 0..2 {
        assert_eq!(debounce.len(), 100);
        advance(millis(100)).await;
        for _ in 0..8 {
            assert!(poll_with(&mut driver, &waker).is_pending());
        }
    }
    assert!(debounce.is_empty(), "{debounce:?}");
}

#[tokio::test(start_paused = true)]
async fn close_without_a_driver_fails_until_all_is_cancelled() {
    let debounce = KeyedDebounce::new(millis(100)).unwrap();
    for key in 0..1000 {
        debounce.call(key, ()).unwrap();
    }
    assert_eq!(debounce.close().await, Err(CloseError::NotDriven));
    let mut driver = Box::pin(debounce.drive(|_, ()| pending()));
    assert!(poll(&mut driver).is_pending());
    let mut close = Box::pin(debounce.close());
    assert!(poll(&mut close).is_pending());
    drop(driver);
    assert_eq!(close.await, Err(CloseError::NotDriven));
    assert_eq!(
        debounce.snapshot().pending,
        1000 - 16,
        "those in progress are lost"
    );
    debounce.cancel_all();
    assert_eq!((debounce.close().await, debounce.len()), (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_run_stops_no_other() {
    let throttle = KeyedThrottle::new(millis(100)).unwrap();
    let done = Mutex::new(Vec::new());
    let drive = throttle.drive(|key, value| {
        assert_ne!(value, 1, "before there is a future");
        let done = &done;
        async move {
            sleep(millis(10)).await;
            assert_ne!(value, 2, "on purpose");
            done.lock().unwrap().push((key, value));
        }
    });
    for value in 1..5 {
        throttle.call(value % 3, value).unwrap();
    }
    let (driven, closed) = tokio::join!(drive, throttle.close());
    assert_eq!((driven, closed), (Ok(()), Ok(())));
    assert_eq!(*done.lock().unwrap(), [(0, 3), (1, 4)]);
    let seen = throttle.snapshot();
    assert_eq!((seen.runs, seen.panics, seen.keys), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_driver_at_any_poll_loses_the_runs_in_progress_only() {
    type Values = BTreeSet<usize>;
    const CALLS: usize = 12;
    for polls in 0..200 {
        let builder = KeyedDebounce::builder(millis(5)).edges(Edges::Both);
        let builder = builder.fold(|mut held: Values, mut new| {
            held.append(&mut new);
            held
        });
        let debounce = builder.max_concurrency(2).build().unwrap();
        let (begun, ended) = (Mutex::new(Values::new()), Mutex::new(Values::new()));
        let drive = || {
            debounce.drive(|_: usize, values: Values| {
                begun.lock().unwrap().extend(&values);
                let ended = &ended;
                async move {
                    yield_now().await;
                    sleep(millis(1)).await;
                    ended.lock().unwrap().extend(&values);
                }
            })
        };
        let mut first = Box::pin(drive());
        let mut made = 0;
        for poll_number in 0..polls {
            if poll_number % 3 == 0 && made < CALLS {
                debounce.call(made % 3, Values::from([made])).unwrap();
                made += 1;
            }
            assert!(poll(&mut first).is_pending());
            if poll_number % 2 == 0 {
                advance(millis(1)).await;
            }
        }
        let running = debounce.snapshot().running;
        drop(first);
        let lost: Vec<_> = begun
            .lock()
            .unwrap()
            .difference(&ended.lock().unwrap())
            .copied()
            .collect();
        assert!(running > 0 || lost.is_empty(), "at poll {polls}");
        let seen = debounce.snapshot();
        assert_eq!(
            (seen.running, seen.is_driven),
            (0, false),
            "at poll {polls}"
        );
        let (driven, closed) = tokio::join!(drive(), debounce.close());
        assert_eq!((driven, closed), (Ok(()), Ok(())));
        let ended = ended.into_inner().unwrap();
        for value in 0..made {
            assert!(
                ended.contains(&value) != lost.contains(&value),
                "{value} at poll {polls}"
            );
        }
        assert!(debounce.is_empty(), "{debounce:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn close_that_is_dropped_at_any_poll_leaves_no_place_behind() {
    let latest = RefCell::new(None);
    let polls = cancel_at_every_poll(
        |_| {
            let throttle = Rc::new(KeyedThrottle::new(millis(5)).unwrap());
            latest.replace(Some(Rc::clone(&throttle)));
            async move {
                for key in 0..3 {
                    throttle.call(key, ()).unwrap();
                    throttle.call(key, ()).unwrap();
                }
                let drive = throttle.drive(|key, ()| sleep(millis(key)));
                let closed = tokio::join!(drive, throttle.close(), throttle.close());
                assert_eq!(closed, (Ok(()), Ok(()), Ok(())));
            }
        },
        |polls| {
            let seen = format!("{:?}", latest.borrow().as_ref().unwrap());
            assert!(seen.contains("closing: 0"), "at poll {polls}: {seen}");
            let is_closed = latest.borrow().as_ref().unwrap().call(9, ()).is_err();
            assert_eq!(is_closed, polls > 0, "at poll {polls}");
        },
    );
    assert!(polls.await >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_of_a_key_never_overlap_and_are_no_more_than_allowed_under_threads() {
    const KEYS: usize = 16;
    let builder = KeyedThrottle::builder(millis(1)).max_concurrency(3);
    let throttle = Arc::new(builder.build().unwrap());
    let inside = Arc::new((0..=KEYS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let latest = Arc::new(Mutex::new(BTreeMap::new()));
    let (driven, seen) = (Arc::clone(&throttle), Arc::clone(&latest));
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let run = |key: usize, value: usize| {
            let (inside, seen) = (Arc::clone(&inside), Arc::clone(&seen));
            async move {
                assert_eq!(
                    inside[key].fetch_add(1, Ordering::SeqCst),
                    0,
                    "two runs of a key"
                );
                assert!(
                    inside[KEYS].fetch_add(1, Ordering::SeqCst) < 3,
                    "too many runs"
                );
                for _ in 0..value % 4 {
                    yield_now().await;
                }
                seen.lock().unwrap().insert(key, value);
                inside[KEYS].fetch_sub(1, Ordering::SeqCst);
                inside[key].fetch_sub(1, Ordering::SeqCst);
            }
        };
        driven.drive(run).await.unwrap();
    });
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let throttle = Arc::clone(&throttle);
        callers.spawn(async move {
            for round in 0..500 {
                let key = (round * 7 + caller) % KEYS;
                match round % 11 {
                    0 => throttle.flush(&key),
                    1 => throttle.cancel(&key),
                    _ => throttle.call(key, round).unwrap(),
                }
                if round % 5 == 0 {
                    yield_now().await;
                }
            }
        });
    }
    callers.join_all().await;
    for key in 0..KEYS {
        throttle.call(key, 1000 + key).unwrap();
    }
    throttle.close().await.unwrap();
    driver.join_all().await;
    let latest: Vec<_> = latest.lock().unwrap().values().copied().collect();
    assert_eq!(latest, (1000..1000 + KEYS).collect::<Vec<_>>());
    let seen = throttle.snapshot();
    assert_eq!((seen.keys, seen.panics), (0, 0));
}
