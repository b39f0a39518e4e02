//! What is run and when, as tables in virtual time.

use std::sync::Mutex;

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Edges, Paced};
use tokio::time::{sleep, sleep_until};

use super::{debounce, throttle};
use crate::support::millis;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    Flush,
    Cancel,
    Close,
}

use Step::{Call, Cancel, Close, Flush};

/// Takes the steps at their times; each call's value is its time. Returns when each run began and
/// its value; a run takes `busy`.
async fn trace<P>(pacer: Paced<u32, P>, busy: u64, steps: &[(u64, Step)]) -> Vec<(u64, u32)> {
    let (start, runs) = (SystemClock.monotonic(), Mutex::new(Vec::new()));
    let elapsed = || u64::try_from(start.elapsed().as_millis()).unwrap();
    let driver = pacer.drive(|value| {
        runs.lock().unwrap().push((elapsed(), value));
        sleep(millis(busy))
    });
    let script = async {
        for (at, step) in steps {
            sleep_until(start + millis(*at)).await;
            match step {
                Call => pacer.call(u32::try_from(*at).unwrap()).unwrap(),
                Flush => pacer.flush(),
                Cancel => pacer.cancel(),
                Close => pacer.close().await.unwrap(),
            }
        }
        sleep(millis(10_000)).await;
        assert_eq!((pacer.is_pending(), pacer.snapshot().keys), (false, 0));
        pacer.close().await.unwrap();
    };
    let (driven, ()) = tokio::join!(driver, script);
    driven.unwrap();
    runs.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn debounced_calls_are_run_as_the_table_says() {
    use Edges::{Both, Leading, Trailing};
    type Row = (
        &'static str,
        Edges,
        Option<u64>,
        u64,
        &'static [(u64, Step)],
        &'static [(u64, u32)],
    );
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("one call is run after the wait", Trailing, None, 0,
            &[(0, Call)], &[(100, 0)]),
        ("calls that keep coming put it off, the latest wins", Trailing, None, 0,
            &[(0, Call), (60, Call), (120, Call)], &[(220, 120)]),
        ("two bursts are two runs", Trailing, None, 0,
            &[(0, Call), (50, Call), (300, Call)], &[(150, 50), (400, 300)]),
        ("a call is held back no longer than the maximum", Trailing, Some(150), 0,
            &[(0, Call), (60, Call), (120, Call), (170, Call)], &[(150, 120), (270, 170)]),
        ("the maximum may be the wait", Trailing, Some(100), 0,
            &[(0, Call), (99, Call)], &[(100, 99)]),
        ("the maximum counts from the first call held back", Trailing, Some(150), 0,
            &[(0, Call), (180, Call), (260, Call), (320, Call)], &[(100, 0), (330, 320)]),
        ("only the first call of a burst", Leading, None, 0,
            &[(0, Call), (60, Call), (120, Call), (220, Call)], &[(0, 0), (220, 220)]),
        ("the first call and the latest", Both, None, 0,
            &[(0, Call), (60, Call), (70, Call)], &[(0, 0), (170, 70)]),
        ("a single call is run once", Both, None, 0,
            &[(0, Call), (300, Call)], &[(0, 0), (300, 300)]),
        ("a trailing run opens a new window", Both, None, 0,
            &[(0, Call), (60, Call), (180, Call), (400, Call)],
            &[(0, 0), (160, 60), (280, 180), (400, 400)]),
        ("cancel drops what is held and the window", Both, None, 0,
            &[(0, Call), (10, Call), (20, Cancel), (30, Call)], &[(0, 0), (30, 30)]),
        ("flush runs what is held, which opens a new window", Both, None, 0,
            &[(0, Call), (10, Call), (20, Flush), (30, Call), (40, Flush), (50, Flush)],
            &[(0, 0), (20, 10), (40, 30)]),
        ("flush of nothing is nothing", Trailing, None, 0,
            &[(0, Flush), (10, Call)], &[(110, 10)]),
        ("close runs what is held", Trailing, None, 0,
            &[(0, Call), (10, Close)], &[(10, 0)]),
        ("close runs what is held when the run in progress ends", Both, None, 50,
            &[(0, Call), (10, Call), (20, Close)], &[(0, 0), (50, 10)]),
        ("cancel leaves the run in progress alone", Both, None, 50,
            &[(0, Call), (10, Call), (20, Cancel), (30, Call)], &[(0, 0), (50, 30)]),
        ("flush runs what is held when the run in progress ends", Both, None, 50,
            &[(0, Call), (10, Call), (20, Flush), (60, Call)], &[(0, 0), (50, 10), (160, 60)]),
        ("flush of what is held does not flush later calls", Trailing, None, 0,
            &[(0, Call), (10, Flush), (20, Call)], &[(10, 0), (120, 20)]),
        ("the maximum does not hold back longer than the window", Both, Some(100), 0,
            &[(0, Call), (50, Call), (90, Call), (140, Call)], &[(0, 0), (150, 140)]),
        ("a run that is due waits for the one in progress", Trailing, None, 250,
            &[(0, Call), (110, Call), (360, Call)], &[(100, 0), (350, 110), (600, 360)]),
        ("what is due stays due and the latest wins", Trailing, None, 250,
            &[(0, Call), (110, Call), (300, Call)], &[(100, 0), (350, 300)]),
        ("a leading call waits for the run in progress", Leading, None, 250,
            &[(0, Call), (150, Call), (200, Call)], &[(0, 0), (250, 150)]),
    ];
    for (name, edges, max_wait, busy, steps, expected) in table {
        let runs = trace(debounce(*edges, 100, *max_wait), *busy, steps).await;
        assert_eq!(runs, *expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_calls_are_run_as_the_table_says() {
    use Edges::{Both, Leading, Trailing};
    type Row = (
        &'static str,
        Edges,
        u64,
        &'static [(u64, Step)],
        &'static [(u64, u32)],
    );
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("the first at once, the latest at the end", Both, 0,
            &[(0, Call), (30, Call), (60, Call)], &[(0, 0), (100, 60)]),
        ("a steady stream is run once in an interval", Both, 0,
            &[(0, Call), (60, Call), (120, Call), (180, Call), (240, Call), (290, Call)],
            &[(0, 0), (100, 60), (200, 180), (300, 290)]),
        ("a trailing run opens a new window", Both, 0,
            &[(0, Call), (10, Call), (111, Call)], &[(0, 0), (100, 10), (200, 111)]),
        ("a window without other calls ends silently", Both, 0,
            &[(0, Call), (100, Call), (350, Call)], &[(0, 0), (100, 100), (350, 350)]),
        ("only leading ones", Leading, 0,
            &[(0, Call), (99, Call), (110, Call)], &[(0, 0), (110, 110)]),
        ("only trailing ones", Trailing, 0,
            &[(0, Call), (90, Call), (110, Call)], &[(100, 90), (200, 110)]),
        ("cancel forgets the window", Both, 0,
            &[(0, Call), (10, Call), (20, Cancel), (30, Call)], &[(0, 0), (30, 30)]),
        ("flush runs what is held", Both, 0,
            &[(0, Call), (10, Call), (20, Flush), (30, Call)], &[(0, 0), (20, 10), (120, 30)]),
        ("close runs what is held", Both, 0,
            &[(0, Call), (10, Call), (20, Close)], &[(0, 0), (20, 10)]),
        ("runs that take longer than the interval follow one another", Both, 250,
            &[(0, Call), (50, Call), (300, Call), (450, Call)],
            &[(0, 0), (250, 50), (500, 450)]),
    ];
    for (name, edges, busy, steps, expected) in table {
        let runs = trace(throttle(*edges, 100), *busy, steps).await;
        assert_eq!(runs, *expected, "{name}");
    }
}
