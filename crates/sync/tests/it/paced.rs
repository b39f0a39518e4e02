//! Debounce and throttle: what is run, and when.

use std::{
    fmt::Debug,
    future::{Future, pending},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use proptest::prelude::*;
use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{CloseError, Closed, Debounce, DriveError, Edges, Throttle};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{advance, sleep, sleep_until},
};

use crate::support::{Boxed, millis, poll};

/// What both types can do.
trait Pacer: Debug + Send + Sync + 'static {
    fn call(&self, value: u32) -> Result<(), Closed>;
    fn cancel(&self);
    fn flush(&self);
    fn is_pending(&self) -> bool;
    fn close(&self) -> Boxed<'_, Result<(), CloseError>>;
    fn drive<'a, F, Fut>(&'a self, run: F) -> Boxed<'a, Result<(), DriveError>>
    where
        F: FnMut(u32) -> Fut + Send + 'a,
        Fut: Future<Output = ()> + Send + 'a;
}

macro_rules! pacer {
    ($name:ident) => {
        impl Pacer for $name<u32> {
            fn call(&self, value: u32) -> Result<(), Closed> {
                $name::call(self, value)
            }
            fn cancel(&self) {
                $name::cancel(self);
            }
            fn flush(&self) {
                $name::flush(self);
            }
            fn is_pending(&self) -> bool {
                $name::is_pending(self)
            }
            fn close(&self) -> Boxed<'_, Result<(), CloseError>> {
                Box::pin($name::close(self))
            }
            fn drive<'a, F, Fut>(&'a self, run: F) -> Boxed<'a, Result<(), DriveError>>
            where
                F: FnMut(u32) -> Fut + Send + 'a,
                Fut: Future<Output = ()> + Send + 'a,
            {
                Box::pin($name::drive(self, run))
            }
        }
    };
}

pacer!(Debounce);
pacer!(Throttle);

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
async fn trace(pacer: impl Pacer, busy: u64, steps: &[(u64, Step)]) -> Vec<(u64, u32)> {
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
        assert!(!pacer.is_pending());
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

async fn panic_is_survived(pacer: impl Pacer) {
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

async fn closes_in_order(pacer: impl Pacer) {
    // Nobody drives, and something is pending.
    pacer.call(1).unwrap();
    assert_eq!(pacer.close().await, Err(CloseError::NotDriven));
    assert_eq!(pacer.call(2), Err(Closed));

    // A driver that is dropped in the middle of its run.
    let mut driver = pacer.drive(|_| pending());
    assert!(poll(&mut driver).is_pending());
    let mut close = pacer.close();
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
    async fn stress(pacer: impl Pacer) {
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

#[derive(Clone, Copy, Debug)]
enum Op {
    Call,
    Flush,
    Cancel,
    /// Lets so many milliseconds pass.
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Call),
        1 => Just(Op::Flush),
        1 => Just(Op::Cancel),
        6 => (1_u64..12).prop_map(Op::Pass),
    ]
}

/// The sequential model: it counts milliseconds down, and its driver is always in time.
struct Model {
    wait: u64,
    max_wait: Option<u64>,
    slides: bool,
    edges: Edges,
    window_left: u64,
    max_left: Option<u64>,
    held: Option<u32>,
    runs: Vec<u32>,
}

impl Model {
    fn run(&mut self, value: u32) {
        self.runs.push(value);
        (self.held, self.max_left, self.window_left) = (None, None, self.wait);
    }

    fn apply(&mut self, op: Op, value: u32) {
        match op {
            Op::Call if self.window_left == 0 && self.edges != Edges::Trailing => self.run(value),
            Op::Call => {
                if self.window_left == 0 || self.slides {
                    self.window_left = self.wait;
                }
                if self.edges != Edges::Leading {
                    self.max_left = self.max_left.or(self.max_wait);
                    self.held = Some(value);
                }
            }
            Op::Flush => {
                if let Some(value) = self.held {
                    self.run(value);
                }
            }
            Op::Cancel => (self.held, self.max_left, self.window_left) = (None, None, 0),
            Op::Pass(_) => {
                self.window_left = self.window_left.saturating_sub(1);
                self.max_left = self.max_left.map(|left| left.saturating_sub(1));
                if let Some(value) = self.held
                    && (self.window_left == 0 || self.max_left == Some(0))
                {
                    self.run(value);
                }
            }
        }
    }
}

async fn agrees(pacer: impl Pacer, mut model: Model, ops: &[Op]) -> Result<(), TestCaseError> {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let mut driver = pacer.drive(|value| {
        runs.lock().unwrap().push(value);
        async {}
    });
    prop_assert!(poll(&mut driver).is_pending());
    for (value, op) in (0..).zip(ops) {
        let millis_to_pass = match op {
            Op::Pass(millis) => *millis,
            _ => 1,
        };
        for _ in 0..millis_to_pass {
            match op {
                Op::Call => pacer.call(value).unwrap(),
                Op::Flush => pacer.flush(),
                Op::Cancel => pacer.cancel(),
                Op::Pass(_) => advance(millis(1)).await,
            }
            model.apply(*op, value);
            prop_assert!(poll(&mut driver).is_pending());
            prop_assert_eq!(&*runs.lock().unwrap(), &model.runs, "after {:?}", op);
            prop_assert_eq!(pacer.is_pending(), model.held.is_some());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_of_calls_flushes_and_cancels_agrees_with_the_model(
        edges in prop::sample::select(vec![Edges::Leading, Edges::Trailing, Edges::Both]),
        slides in any::<bool>(),
        wait in 1_u64..20,
        more in prop::option::of(0_u64..20),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let max_wait = more.map(|more| wait + more).filter(|_| slides);
        let model = Model {
            wait, max_wait, slides, edges,
            window_left: 0, max_left: None, held: None, runs: Vec::new(),
        };
        runtime.block_on(async {
            if slides {
                agrees(debounce(edges, wait, max_wait), model, &ops).await
            } else {
                agrees(throttle(edges, wait), model, &ops).await
            }
        })?;
    }
}
