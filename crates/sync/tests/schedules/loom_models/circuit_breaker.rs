use std::{sync::Arc, time::Duration};

use loom::sync::atomic::{AtomicU32, Ordering};
use steadfast_clock::ManualClock;
use steadfast_sync::{BreakerState, CircuitBreaker, Verdict};

use super::{explore, join, spawn, still_clock};

const SECOND: Duration = Duration::from_secs(1);
const PERMITS: u32 = 2;

struct Shared {
    breaker: CircuitBreaker,
    clock: Arc<ManualClock>,
    admitted: AtomicU32,
}

impl Shared {
    fn new() -> Arc<Self> {
        let clock = still_clock();
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .open_for(SECOND)
            .half_open_permits(PERMITS)
            .clock(clock.clone())
            .build()
            .unwrap();
        let admitted = AtomicU32::new(0);
        Arc::new(Self {
            breaker,
            clock,
            admitted,
        })
    }

    /// A breaker that is half-open as soon as somebody looks.
    fn half_open() -> Arc<Self> {
        let shared = Self::new();
        let verdict = shared.breaker.try_acquire().unwrap().failure();
        assert_eq!(verdict, Verdict::Counted);
        shared.clock.advance(SECOND);
        shared
    }
}

#[test]
fn row_07_half_open_breaker_admits_exactly_its_permits_under_contention() {
    explore(|| {
        let shared = Shared::half_open();
        let probe = |shared: &Shared| {
            if let Ok(permit) = shared.breaker.try_acquire() {
                shared.admitted.fetch_add(1, Ordering::Relaxed);
                // It stays out.
                std::mem::forget(permit);
            }
        };
        let probes = [0, 1].map(|_| {
            spawn(&shared, move |shared| {
                probe(shared);
                probe(shared);
            })
        });
        probe(&shared);
        join(probes);
        assert_eq!(shared.admitted.load(Ordering::Relaxed), PERMITS);
    });
}

#[test]
fn dropped_permit_frees_its_slot_while_others_ask() {
    explore(|| {
        let shared = Shared::half_open();
        let probes = [0, 1].map(|_| {
            spawn(&shared, |shared| {
                drop(shared.breaker.try_acquire().unwrap());
            })
        });
        join(probes);
        let held = [0, 1].map(|_| shared.breaker.try_acquire().unwrap());
        assert!(shared.breaker.try_acquire().is_err());
        drop(held);
    });
}

#[test]
fn verdict_of_an_older_epoch_changes_nothing_however_it_races() {
    explore(|| {
        let shared = Shared::new();
        let late = shared.breaker.try_acquire().unwrap();
        let closer = spawn(&shared, |shared| shared.breaker.close());
        let verdict = late.failure();
        join([closer]);
        // Either it opened the breaker before that was closed by hand, or it was too late.
        let stale = u64::from(verdict == Verdict::Stale);
        assert_eq!(shared.breaker.stale_verdicts(), stale);
        assert_eq!(shared.breaker.state(), BreakerState::Closed);
    });
}

#[test]
fn success_and_failure_of_two_probes_open_it_in_either_order() {
    explore(|| {
        let shared = Shared::half_open();
        let good = shared.breaker.try_acquire().unwrap();
        let other = spawn(&shared, |shared| {
            let bad = shared.breaker.try_acquire().unwrap();
            assert_eq!(bad.failure(), Verdict::Counted);
        });
        good.success();
        join([other]);
        assert_eq!(shared.breaker.state(), BreakerState::Open);
    });
}
