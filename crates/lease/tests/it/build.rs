use std::{sync::Arc, time::Duration};

use steadfast_lease::{BuildError, LeaseLock, LeaseLockBuilder, MAX_NAME_BYTES, MemoryBackend};

use crate::support::SEC;

fn refused(key: &str, set: impl FnOnce(LeaseLockBuilder) -> LeaseLockBuilder) -> BuildError {
    let builder = LeaseLock::builder(Arc::new(MemoryBackend::new()), key, "owner");
    set(builder).build().expect_err("unsound settings")
}

#[test]
fn renewal_that_would_come_too_late_is_refused() {
    let error = refused("key", |b| b.ttl(10 * SEC).renew_every(9 * SEC).margin(SEC));
    assert_eq!(
        error.to_string(),
        "`renew_every` of 9s and `margin` of 1s do not fit into the 9.898s for which a `ttl` of \
         10s can be relied on"
    );
}

/// Of 30 s, 29.698 can be relied on, and 26.698 are left by the margin.
#[test]
fn renewal_at_the_moment_of_the_cancellation_is_refused_and_one_just_before_it_is_not() {
    let at = |millis| {
        let renew_every = Duration::from_millis(millis);
        move |builder: LeaseLockBuilder| {
            builder
                .ttl(30 * SEC)
                .margin(3 * SEC)
                .renew_every(renew_every)
        }
    };
    let error = refused("key", at(26_698));
    assert!(matches!(error, BuildError::RenewsTooLate { .. }));
    let backend = Arc::new(MemoryBackend::new());
    let builder = LeaseLock::builder(backend, "key", "a");
    at(26_697)(builder).build().unwrap();
}

#[test]
fn ttl_that_the_drift_eats_up_is_refused() {
    let error = refused("key", |b| b.ttl(Duration::from_millis(2)));
    assert!(matches!(error, BuildError::RenewsTooLate { .. }));
}

#[test]
fn bad_settings_are_refused_by_name() {
    assert_eq!(
        refused("", |b| b).to_string(),
        "`key` has 0 bytes, not 1 to 512"
    );
    let long = "k".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(
        refused(&long, |b| b).to_string(),
        "`key` has 513 bytes, not 1 to 512"
    );
    assert_eq!(
        refused("key", |b| b.retry_every(Duration::ZERO)).to_string(),
        "`retry_every` is zero"
    );
    assert_eq!(
        refused("key", |b| b.ttl(Duration::MAX).renew_every(SEC)).to_string(),
        format!("`ttl` of {:?} is longer than 86400s", Duration::MAX)
    );
}
