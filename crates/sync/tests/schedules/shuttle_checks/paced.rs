use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shuttle::{
    future::{block_on, yield_now},
    thread,
};
use steadfast_sync::{
    CloseError, Debounce, Debouncing, DriveError, Edges, Paced, Pacing, Throttle, Throttling,
};

use super::{SteppingClock, at_most, below, explore, race};

const WINDOW: Duration = Duration::from_millis(10);

/// Calls from two threads, with a driver and a `close` when the calls are over.
fn drive_and_close<P: Pacing>(paced: &Paced<usize, P>) {
    let (calls, runs) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let running = AtomicBool::new(false);
    race(2, |who| {
        if who == 0 {
            let drive = paced.drive(|value| {
                assert!(!running.swap(true, Ordering::SeqCst), "runs overlap");
                runs.lock().unwrap().push(value);
                let running = &running;
                async move {
                    yield_now().await;
                    running.store(false, Ordering::SeqCst);
                }
            });
            block_on(drive).unwrap();
            return;
        }
        race(2, |_| {
            for _ in 0..2 {
                paced.call(calls.fetch_add(1, Ordering::SeqCst)).unwrap();
                thread::yield_now();
            }
        });
        // The driver may not have come yet.
        while block_on(paced.close()) == Err(CloseError::NotDriven) {
            thread::yield_now();
        }
        assert!(!running.load(Ordering::SeqCst) && !paced.is_pending());
        paced.call(9).unwrap_err();
    });
    let runs = runs.into_inner().unwrap();
    assert!((1..=4).contains(&runs.len()), "{runs:?}");
}

#[test]
fn debounce_runs_what_was_called_before_it_was_closed() {
    explore(|| {
        let clock = SteppingClock::new(WINDOW / 4);
        let debounce = Debounce::builder(WINDOW).clock(clock).build().unwrap();
        drive_and_close::<Debouncing>(&debounce);
    });
}

#[test]
fn throttle_runs_what_was_called_before_it_was_closed() {
    explore(|| {
        let clock = SteppingClock::new(WINDOW / 4);
        let builder = Throttle::builder(WINDOW).edges(Edges::Both);
        drive_and_close::<Throttling>(&builder.clock(clock).build().unwrap());
    });
}

#[test]
fn driver_that_is_dropped_leaves_the_right_to_drive_and_what_is_pending() {
    explore(|| {
        let clock = SteppingClock::new(WINDOW / 4);
        let debounce = Debounce::builder(WINDOW).clock(clock).build().unwrap();
        let runs = AtomicUsize::new(0);
        let run = |_: usize| {
            runs.fetch_add(1, Ordering::SeqCst);
            yield_now()
        };
        race(3, |who| {
            if who == 0 {
                debounce.call(1).unwrap();
                return;
            }
            // Once at most: nobody wakes a driver that has nothing to do.
            let driven = block_on(at_most(below(2), debounce.drive(run)));
            assert!(matches!(
                driven,
                None | Some(Err(DriveError::AlreadyDriven))
            ));
        });
        let before = (runs.load(Ordering::SeqCst), debounce.is_pending());
        race(2, |who| {
            if who == 0 {
                block_on(debounce.drive(run)).unwrap();
            } else {
                while block_on(debounce.close()) == Err(CloseError::NotDriven) {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(runs.into_inner(), before.0 + usize::from(before.1));
    });
}
