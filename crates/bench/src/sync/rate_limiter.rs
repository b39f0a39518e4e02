use std::{error::Error, num::NonZeroU32, ops::Range, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, clock::MonotonicClock};
use steadfast_sync::{KeyedRateLimiter, Quota, RateLimiter};

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::{grouped, in_tasks, numbered, plainly, scattered},
};

const KEYS: u64 = 1024;
const TASKS: u64 = 2;

/// So many units an hour, and at once, that everything measured is let through, yet each use is
/// remembered for some microseconds.
const UNITS: NonZeroU32 = NonZeroU32::MIN.saturating_add(999_999_999);
const PERIOD: Duration = Duration::from_secs(3600);

/// What is used of a key so that it stays remembered for minutes.
const USED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99_999_999);

pub(super) fn direct() -> Result<Case, Box<dyn Error>> {
    let limiter = RateLimiter::new(quota()?);
    let ours = plainly(direct_ours(), move || limiter.try_acquire(1).is_ok());
    let limiter = governor::RateLimiter::direct(governors_quota()?);
    let governors = plainly(governors(), move || limiter.check().is_ok());
    let limiter = governor::RateLimiter::direct_with_clock(governors_quota()?, MonotonicClock);
    let same_clock = plainly(governors_with_same_clock(), move || limiter.check().is_ok());
    let limiter = leaky();
    let leakys = plainly(leakys(), move || limiter.try_acquire(1));
    Ok(Case::new(ours)
        .against(governors.at_most(1.2))
        .against(same_clock)
        .against(leakys)
        .note(CLOCKS))
}

pub(super) fn direct_contended() -> Result<Case, Box<dyn Error>> {
    let limiter = Arc::new(RateLimiter::new(quota()?));
    let ours = in_tasks(direct_ours(), TASKS, move |numbers| {
        let limiter = Arc::clone(&limiter);
        async move { repeated(numbers, |_| limiter.try_acquire(1).is_ok()) }
    })?;
    let limiter = Arc::new(governor::RateLimiter::direct(governors_quota()?));
    let governors = in_tasks(governors(), TASKS, move |numbers| {
        let limiter = Arc::clone(&limiter);
        async move { repeated(numbers, |_| limiter.check().is_ok()) }
    })?;
    let limiter = Arc::new(leaky());
    let leakys = in_tasks(leakys(), TASKS, move |numbers| {
        let limiter = Arc::clone(&limiter);
        async move { repeated(numbers, |_| limiter.try_acquire(1)) }
    })?;
    Ok(Case::new(ours)
        .against(governors)
        .against(leakys)
        .sampled(Sampling::LONG))
}

pub(super) fn keyed() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(keyed_ours(KEYS)?)
        .against(keyed_governors(KEYS)?.at_most(1.0))
        .note(CLOCKS))
}

pub(super) fn keyed_contended() -> Result<Case, Box<dyn Error>> {
    let limiter = Arc::new(KeyedRateLimiter::new(quota()?));
    let ours = in_tasks(KEYED_OURS, TASKS, move |numbers| {
        let limiter = Arc::clone(&limiter);
        async move { repeated(numbers, |key| limiter.try_acquire(&key, 1).is_ok()) }
    })?;
    let limiter = Arc::new(DefaultKeyedRateLimiter::keyed(governors_quota()?));
    let governors = in_tasks(governors(), TASKS, move |numbers| {
        let limiter = Arc::clone(&limiter);
        async move { repeated(numbers, |key| limiter.check_key(&key).is_ok()) }
    })?;
    Ok(Case::new(ours).against(governors).sampled(Sampling::LONG))
}

pub(super) fn live_keys() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(keyed_ours(1_000_000)?)
        .against(keyed_ours(100_000)?)
        .against(keyed_ours(1_000)?)
        .against(keyed_governors(1_000_000)?)
        .against(keyed_governors(1_000)?)
        .note(
            "The ratio is that of ours with 1 000 000 live keys; next to ours with fewer it says \
             how many times as long an operation takes.",
        ))
}

const CLOCKS: &str = "Ours reads the operating system's monotonic clock, which tokio's paused time \
                      and a manual clock can replace; governor reads the processor's counter \
                      (quanta), which they cannot.";

fn keyed_ours(keys: u64) -> Result<Contender, Box<dyn Error>> {
    let limiter = KeyedRateLimiter::builder(quota()?)
        .max_keys(10_000_000)
        .build()?;
    for key in 0..keys {
        limiter.try_acquire(&key, USED.get())?;
    }
    let name = format!("{KEYED_OURS}, {} keys", grouped(keys));
    Ok(numbered(name, move |number| {
        limiter.try_acquire(&scattered(number, keys), 1).is_ok()
    }))
}

fn keyed_governors(keys: u64) -> Result<Contender, Box<dyn Error>> {
    let limiter = DefaultKeyedRateLimiter::keyed(governors_quota()?);
    for key in 0..keys {
        assert!(matches!(limiter.check_key_n(&key, USED), Ok(Ok(()))));
    }
    let name = format!("{}, {} keys", governors(), grouped(keys));
    Ok(numbered(name, move |number| {
        limiter.check_key(&scattered(number, keys)).is_ok()
    }))
}

/// Uses a key for each of the numbers.
fn repeated(numbers: Range<u64>, operation: impl Fn(u64) -> bool) {
    for number in numbers {
        assert!(operation(scattered(number, KEYS)));
    }
}

fn quota() -> Result<Quota, steadfast_sync::ConfigError> {
    Quota::new(UNITS.get(), PERIOD)
}

fn governors_quota() -> Result<governor::Quota, Box<dyn Error>> {
    let quota = governor::Quota::with_period(PERIOD / UNITS.get());
    Ok(quota.ok_or("the period is zero")?.allow_burst(UNITS))
}

fn leaky() -> leaky_bucket::RateLimiter {
    leaky_bucket::RateLimiter::builder()
        .max(UNITS.get() as usize)
        .initial(UNITS.get() as usize)
        .build()
}

const KEYED_OURS: &str = "steadfast-sync KeyedRateLimiter";

fn direct_ours() -> String {
    "steadfast-sync RateLimiter".to_owned()
}

fn governors() -> String {
    versioned("governor") + " RateLimiter"
}

fn governors_with_same_clock() -> String {
    governors() + ", on the operating system's clock"
}

fn leakys() -> String {
    versioned("leaky-bucket") + " RateLimiter"
}
