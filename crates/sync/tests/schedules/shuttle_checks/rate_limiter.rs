use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use shuttle::future::block_on;
use steadfast_clock::Clock;
use steadfast_sync::{KeyedRateLimiter, Quota, RateLimiter};

use super::{SteppingClock, at_most, below, explore, patience, race};

const BURST: u32 = 2;
const INTERVAL: Duration = Duration::from_millis(100);

fn quota() -> Quota {
    Quota::new(1, INTERVAL).unwrap().with_burst(BURST).unwrap()
}

/// No more was let through than the burst and what was earned.
fn assert_within_quota(clock: &SteppingClock, start: steadfast_clock::Instant, taken: u32) {
    let elapsed = clock.monotonic() - start;
    let earned = elapsed.as_nanos() / INTERVAL.as_nanos();
    assert!(
        u128::from(taken) <= u128::from(BURST) + earned,
        "{taken} in {elapsed:?}"
    );
}

#[test]
fn callers_take_no_more_than_the_quota_and_leave_no_place_behind() {
    explore(|| {
        let clock = SteppingClock::new(INTERVAL / 8);
        let limiter = RateLimiter::builder(quota()).clock(clock.clone()).build();
        let limiter = limiter.unwrap();
        let (start, taken) = (clock.monotonic(), AtomicU32::new(0));
        race(4, |_| {
            let units = 1 + below(2) as u32;
            let outcome = match below(3) {
                0 => limiter.try_acquire(units).ok(),
                _ => block_on(at_most(patience(), limiter.acquire(units))).map(Result::unwrap),
            };
            if outcome.is_some() {
                taken.fetch_add(units, Ordering::SeqCst);
            }
        });
        assert_eq!(limiter.waiting(), 0);
        assert_within_quota(&clock, start, taken.into_inner());
    });
}

#[test]
fn callers_that_share_keys_take_no_more_than_each_quota_and_leave_no_key_behind() {
    explore(|| {
        let clock = SteppingClock::new(INTERVAL / 8);
        let limiter = KeyedRateLimiter::builder(quota())
            .clock(clock.clone())
            .build();
        let limiter = limiter.unwrap();
        let (start, taken) = (clock.monotonic(), Mutex::new([0, 0]));
        race(4, |_| {
            let key = below(2);
            let outcome = match below(3) {
                0 => limiter.try_acquire(&key, 1).ok(),
                _ => block_on(at_most(patience(), limiter.acquire(&key, 1))).map(Result::unwrap),
            };
            if outcome.is_some() {
                taken.lock().unwrap()[key] += 1;
            }
            if below(3) == 0 {
                limiter.sweep();
            }
        });
        for (key, taken) in taken.into_inner().unwrap().into_iter().enumerate() {
            assert_eq!(limiter.waiting(&key), 0);
            assert_within_quota(&clock, start, taken);
        }
        clock.clock.advance(INTERVAL * 100);
        limiter.sweep();
        assert_eq!(limiter.len(), 0);
    });
}

#[test]
fn unit_that_is_earned_goes_to_the_first_in_line() {
    explore(|| {
        let clock = Arc::new(steadfast_clock::ManualClock::new(
            std::time::SystemTime::UNIX_EPOCH,
        ));
        let limiter = RateLimiter::builder(quota()).clock(clock.clone()).build();
        let limiter = limiter.unwrap();
        limiter.try_acquire(BURST).unwrap();
        let mut first = std::pin::pin!(limiter.acquire(BURST));
        assert!(block_on(at_most(1, first.as_mut())).is_none());
        race(3, |caller| {
            if caller == 0 {
                clock.advance(INTERVAL * BURST);
            } else {
                // It is not polled, so that whatever is earned meanwhile waits for it.
                assert!(limiter.try_acquire(1).is_err());
            }
        });
        block_on(first).unwrap();
        assert_eq!(limiter.available(), 0);
    });
}
