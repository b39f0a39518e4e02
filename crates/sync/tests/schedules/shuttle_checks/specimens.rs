//! Specimens whose fault takes a schedule to show: one checker for them and for ours, which has to
//! find the fault in the specimen and none in ours.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use shuttle::sync::atomic::AtomicUsize;
use steadfast_clock::ManualClock;
use steadfast_sync::{CircuitBreaker, Semaphore};

use super::{explore, race};

const LIMIT: usize = 2;

/// Whether in some schedule more callers than the limit have something at the same time, which they
/// keep.
fn exceeds_the_limit<S: Sync, P>(
    subject: impl Fn() -> S + Send + Sync + 'static,
    try_acquire: impl Fn(&S) -> Option<P> + Send + Sync + 'static,
) -> bool {
    let found = Arc::new(AtomicBool::new(false));
    let finding = Arc::clone(&found);
    explore(move || {
        let (subject, acquired) = (subject(), AtomicUsize::new(0));
        race(4, |_| {
            if let Some(permit) = try_acquire(&subject) {
                acquired.fetch_add(1, Ordering::SeqCst);
                std::mem::forget(permit);
            }
        });
        if acquired.load(Ordering::SeqCst) > LIMIT {
            finding.store(true, Ordering::SeqCst);
        }
    });
    found.load(Ordering::SeqCst)
}

#[test]
fn row_19_check_before_the_act_is_found_and_the_semaphore_has_none() {
    let check_then_act = |count: &AtomicUsize| {
        let is_free = count.load(Ordering::SeqCst) < LIMIT;
        is_free.then(|| count.fetch_add(1, Ordering::SeqCst))
    };
    assert!(exceeds_the_limit(|| AtomicUsize::new(0), check_then_act));
    let semaphore = || Semaphore::new(LIMIT).unwrap();
    assert!(!exceeds_the_limit(semaphore, |semaphore| {
        semaphore.try_acquire_owned(1).ok()
    }));
}

#[test]
fn row_07_half_open_for_everybody_is_found_and_the_breaker_has_none() {
    let not_open = |is_open: &AtomicBool| (!is_open.load(Ordering::SeqCst)).then_some(());
    assert!(exceeds_the_limit(|| AtomicBool::new(false), not_open));
    let half_open = || {
        let clock = Arc::new(ManualClock::new(std::time::SystemTime::UNIX_EPOCH));
        let second = std::time::Duration::from_secs(1);
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .open_for(second)
            .half_open_permits(LIMIT as u32)
            .clock(clock.clone())
            .build()
            .unwrap();
        let _ = breaker.try_acquire().unwrap().failure();
        clock.advance(second);
        breaker
    };
    assert!(!exceeds_the_limit(half_open, |breaker| {
        let permit = breaker.try_acquire().ok();
        // It stays out.
        permit.map(std::mem::forget)
    }));
}
