use std::time::Duration;

use steadfast_sync::{
    AsyncLock, CircuitBreaker, ConfigError, Debounce, KeyedRateLimiter, KeyedThrottle, Quota,
    RateLimiter, Retry, Semaphore, Throttle,
};

/// The field that was refused.
fn field<T: std::fmt::Debug>(built: Result<T, ConfigError>) -> &'static str {
    built.unwrap_err().field()
}

#[test]
fn zero_is_refused_with_the_name_of_its_field() {
    let quota = Quota::per_second(1).unwrap();
    assert_eq!(
        field(AsyncLock::<u8>::builder().max_waiters(0).build()),
        "max_waiters"
    );
    assert_eq!(field(Semaphore::new(0)), "capacity");
    assert_eq!(
        field(Semaphore::builder(1).max_waiters(0).build()),
        "max_waiters"
    );
    assert_eq!(
        field(RateLimiter::builder(quota).max_waiters(0).build()),
        "max_waiters"
    );
    assert_eq!(
        field(KeyedRateLimiter::<u8>::builder(quota).max_keys(0).build()),
        "max_keys"
    );
    assert_eq!(
        field(
            KeyedRateLimiter::<u8>::builder(quota)
                .max_waiters(0)
                .build()
        ),
        "max_waiters"
    );
    assert_eq!(
        field(Retry::builder().max_attempts(0).build()),
        "max_attempts"
    );
    let breaker = CircuitBreaker::builder;
    assert_eq!(
        field(breaker().consecutive_failures(0).build()),
        "consecutive_failures"
    );
    assert_eq!(
        field(breaker().half_open_permits(0).build()),
        "half_open_permits"
    );
    assert_eq!(field(breaker().count_window(0).build()), "count_window");
    assert_eq!(field(breaker().minimum_calls(0).build()), "minimum_calls");
    assert_eq!(field(breaker().max_waiters(0).build()), "max_waiters");
}

#[test]
fn durations_of_zero_or_beyond_all_measure_are_refused() {
    let quota = Quota::per_second(1).unwrap();
    for wrong in [Duration::ZERO, Duration::MAX] {
        let (retry, breaker) = (Retry::builder, CircuitBreaker::builder);
        assert_eq!(field(retry().initial_delay(wrong).build()), "initial_delay");
        assert_eq!(field(retry().max_delay(wrong).build()), "max_delay");
        assert_eq!(field(retry().deadline(wrong).build()), "deadline");
        assert_eq!(field(breaker().open_for(wrong).build()), "open_for");
        assert_eq!(field(breaker().time_window(wrong).build()), "time_window");
        let slow = breaker().slow_call_rate(0.5, wrong);
        assert_eq!(field(slow.build()), "slow_after");
        let growing = breaker().open_growth(2.0, wrong);
        assert_eq!(field(growing.build()), "max_open_for");
        assert_eq!(
            field(breaker().half_open_for(wrong).build()),
            "half_open_for"
        );
        assert_eq!(field(Quota::new(1, wrong)), "period");
        let direct = RateLimiter::builder(quota).long_wait(wrong).build();
        let keyed = KeyedRateLimiter::<u8>::builder(quota).long_wait(wrong);
        assert_eq!(field(direct), "long_wait");
        assert_eq!(field(keyed.build()), "long_wait");
    }
    let crossed = Retry::builder().max_delay(Duration::from_millis(1)).build();
    let error = crossed.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`max_delay` must be at least `initial_delay`"
    );
}

#[test]
fn thresholds_that_cannot_work_are_refused() {
    for wrong in [Duration::ZERO, Duration::MAX] {
        let lock = AsyncLock::<u8>::builder;
        assert_eq!(field(lock().long_hold(wrong).build()), "long_hold");
        assert_eq!(field(lock().long_wait(wrong).build()), "long_wait");
        assert_eq!(field(lock().grace(wrong).build()), "grace");
        let semaphore = || Semaphore::builder(1);
        assert_eq!(field(semaphore().long_hold(wrong).build()), "long_hold");
        assert_eq!(field(semaphore().long_wait(wrong).build()), "long_wait");
        assert_eq!(field(semaphore().grace(wrong).build()), "grace");
    }
    let quota = Quota::per_second(1).unwrap();
    let limiter = RateLimiter::builder(quota).revoke_unclaimed().build();
    assert_eq!(field(limiter), "revoke_unclaimed");
    let limiter = KeyedRateLimiter::<u8>::builder(quota).revoke_unclaimed();
    assert_eq!(field(limiter.build()), "revoke_unclaimed");
    let error = AsyncLock::<u8>::builder().revoke_unclaimed().build();
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "`revoke_unclaimed` needs `grace`");
}

#[test]
fn windows_that_cannot_work_are_refused_with_the_name_of_their_field() {
    let second = Duration::from_secs(1);
    assert_eq!(field(Debounce::<u8>::new(Duration::ZERO)), "wait");
    assert_eq!(field(Throttle::<u8>::new(Duration::ZERO)), "interval");
    assert_eq!(field(Throttle::<u8>::new(Duration::MAX)), "interval");
    let max_wait = |max_wait| {
        let builder = Debounce::<u8>::builder(second).max_wait(max_wait);
        builder.build()
    };
    assert_eq!(field(max_wait(Duration::MAX)), "max_wait");
    let error = max_wait(second / 2).unwrap_err();
    assert_eq!(error.to_string(), "`max_wait` must be at least `wait`");
    assert!(max_wait(second).is_ok());
    let throttle = || KeyedThrottle::<u8, u8>::builder(second);
    assert_eq!(field(throttle().max_keys(0).build()), "max_keys");
    let none = throttle().max_concurrency(0).build();
    assert_eq!(field(none), "max_concurrency");
    assert_eq!(
        field(throttle().long_hold(Duration::ZERO).build()),
        "long_hold"
    );
    assert_eq!(
        field(KeyedThrottle::<u8, u8>::new(Duration::MAX)),
        "interval"
    );
}

#[test]
fn thresholds_of_a_breaker_that_make_no_sense_are_refused() {
    let breaker = CircuitBreaker::builder;
    let second = Duration::from_secs(1);
    for wrong in [0.0, -0.5, 1.001, f64::NAN, f64::INFINITY] {
        let by_failures = breaker().failure_rate(wrong).build();
        assert_eq!(field(by_failures), "failure_rate");
        let by_slow_calls = breaker().slow_call_rate(wrong, second).build();
        assert_eq!(field(by_slow_calls), "slow_call_rate");
    }
    let error = breaker().failure_rate(2.0).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`failure_rate` must be above 0 and at most 1"
    );
    for wrong in [0.0, 0.9, 1_000.1, f64::NAN, f64::INFINITY] {
        let growing = breaker().open_growth(wrong, Duration::from_secs(600));
        assert_eq!(field(growing.build()), "open_growth");
    }
    let shrinking = breaker().open_growth(2.0, second).build().unwrap_err();
    assert_eq!(
        shrinking.to_string(),
        "`max_open_for` must be at least `open_for`"
    );
    assert_eq!(
        field(breaker().count_window(u32::MAX).build()),
        "count_window"
    );
    let crossed = breaker().count_window(10).minimum_calls(11).build();
    assert_eq!(
        crossed.unwrap_err().to_string(),
        "`count_window` must be at least `minimum_calls`"
    );
    let small = breaker().failure_rate(1.0).count_window(1);
    assert!(small.build().is_ok(), "the default minimum follows");
    let many = breaker().time_window(second).minimum_calls(u32::MAX);
    assert!(many.build().is_ok());
}
