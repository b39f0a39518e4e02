//! What any [`LockBackend`] must do: call [`all`] from a test of yours.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{Grant, LockBackend};

mod dropped;

pub use dropped::{
    dropped_attempt_expires, dropped_release_frees_or_not, dropped_renewal_extends_or_not,
    dropped_run_expires,
};

/// How many tasks ask for one lease at once.
const CROWD: usize = 50;

/// Runs the whole suite.
///
/// The keys begin with `prefix`, so that it can run more than once on a backend that remembers.
/// `ttl` is the time to live of leases that are to expire; the suite sleeps for a few of them, in
/// tokio's time.
///
/// # Cancel safety
///
/// Dropping the future may leave leases, which expire.
///
/// # Panics
///
/// With what the backend did wrong.
pub async fn all(backend: Arc<dyn LockBackend>, prefix: &str, ttl: Duration) {
    let key = |name: &str| format!("{prefix}/{name}");
    one_holder_at_a_time(&*backend, &key("one")).await;
    keys_are_independent(&*backend, &key("left"), &key("right")).await;
    crowd_gets_one_grant(Arc::clone(&backend), &key("crowd")).await;
    lease_expires(&*backend, &key("expires"), ttl).await;
    renewal_extends(&*backend, &key("renewal"), ttl).await;
    stale_grant_is_powerless(&*backend, &key("stale"), ttl).await;
    fences_grow(&*backend, &key("fences"), ttl).await;
    dropped_attempt_expires(&*backend, &key("dropped"), ttl / 5).await;
    dropped_renewal_extends_or_not(&*backend, &key("dropped renewal")).await;
    dropped_release_frees_or_not(&*backend, &key("dropped release")).await;
    dropped_run_expires(backend, &key("dropped run"), ttl / 5).await;
}

/// A held lease is refused to everybody, the holder's namesake included, until it is released.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn one_holder_at_a_time(backend: &dyn LockBackend, key: &str) {
    let ttl = Duration::from_secs(60);
    let grant = acquire(backend, key, ttl).await;
    assert_eq!((&*grant.key, &*grant.owner), (key, "suite"));
    for owner in ["other", "suite"] {
        let second = backend.try_acquire(key, owner, ttl).await;
        assert!(
            matches!(second, Ok(None)),
            "a held lease was granted to {owner}: {second:?}"
        );
    }
    for _ in 0..2 {
        backend.release(&grant).await.expect("a release succeeds");
    }
    let next = acquire(backend, key, ttl).await;
    backend.release(&next).await.expect("a release succeeds");
}

/// Holding one key does not hold another.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn keys_are_independent(backend: &dyn LockBackend, left: &str, right: &str) {
    let ttl = Duration::from_secs(60);
    let grant = acquire(backend, left, ttl).await;
    let other = acquire(backend, right, ttl).await;
    backend.release(&grant).await.expect("a release succeeds");
    let held = backend.try_acquire(right, "other", ttl).await;
    assert!(matches!(held, Ok(None)), "releasing one key freed another");
    backend.release(&other).await.expect("a release succeeds");
}

/// Of many that ask at once, exactly one gets the lease.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn crowd_gets_one_grant(backend: Arc<dyn LockBackend>, key: &str) {
    let mut crowd = JoinSet::new();
    for index in 0..CROWD {
        let (backend, key) = (Arc::clone(&backend), key.to_owned());
        crowd.spawn(async move {
            let owner = format!("owner-{index}");
            let ttl = Duration::from_secs(60);
            backend.try_acquire(&key, &owner, ttl).await
        });
    }
    let mut grants = Vec::new();
    for outcome in crowd.join_all().await {
        grants.extend(outcome.expect("an attempt succeeds"));
    }
    assert_eq!(grants.len(), 1, "grants of one lease: {grants:?}");
    backend
        .release(&grants[0])
        .await
        .expect("a release succeeds");
}

/// A lease that is not renewed is free after its time to live, and valid for its holder no longer
/// than that.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn lease_expires(backend: &dyn LockBackend, key: &str, ttl: Duration) {
    let first = acquire(backend, key, ttl).await;
    sleep(ttl / 2).await;
    let early = backend.try_acquire(key, "other", ttl).await;
    assert!(matches!(early, Ok(None)), "granted before the expiry");
    sleep(ttl).await;
    let second = acquire(backend, key, ttl).await;
    assert!(
        first.valid_until < second.valid_until - ttl / 2,
        "the first grant claims to be valid beside the second"
    );
    backend.release(&second).await.expect("a release succeeds");
}

/// A renewed lease lives on past its first time to live, with its fence.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn renewal_extends(backend: &dyn LockBackend, key: &str, ttl: Duration) {
    let mut grant = acquire(backend, key, ttl).await;
    for _ in 0..4 {
        sleep(ttl / 2).await;
        let renewed = backend.renew(&grant, ttl).await;
        let Ok(Some(renewed)) = renewed else {
            panic!("a held lease was not renewed: {renewed:?}");
        };
        assert_eq!(renewed.fence, grant.fence, "a renewal keeps the fence");
        assert!(renewed.valid_until > grant.valid_until);
        let other = backend.try_acquire(key, "other", ttl).await;
        assert!(matches!(other, Ok(None)), "a renewed lease was granted");
        grant = renewed;
    }
    backend.release(&grant).await.expect("a release succeeds");
}

/// A grant that has expired or was released can neither renew nor release, be it that the lease is
/// free or that another holds it.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn stale_grant_is_powerless(backend: &dyn LockBackend, key: &str, ttl: Duration) {
    let released = acquire(backend, key, ttl).await;
    backend
        .release(&released)
        .await
        .expect("a release succeeds");
    let expired = acquire(backend, key, ttl).await;
    sleep(ttl + ttl / 2).await;
    for stale in [&released, &expired] {
        let renewed = backend.renew(stale, ttl).await;
        assert!(
            matches!(renewed, Ok(None)),
            "a stale grant was renewed: {renewed:?}"
        );
    }
    let current = acquire(backend, key, Duration::from_secs(60)).await;
    for stale in [&released, &expired] {
        let renewed = backend.renew(stale, ttl).await;
        assert!(
            matches!(renewed, Ok(None)),
            "a stale grant was renewed: {renewed:?}"
        );
        backend.release(stale).await.expect("it has no effect");
    }
    let other = backend.try_acquire(key, "other", ttl).await;
    assert!(
        matches!(other, Ok(None)),
        "a stale grant released the lease of its successor"
    );
    backend.release(&current).await.expect("a release succeeds");
}

/// Fences of one key grow over releases and expiries.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn fences_grow(backend: &dyn LockBackend, key: &str, ttl: Duration) {
    let mut last = None;
    for round in 0..6 {
        let grant = acquire(backend, key, ttl).await;
        assert!(
            last.is_none_or(|last| last < grant.fence),
            "fence {} came after {last:?}",
            grant.fence
        );
        last = Some(grant.fence);
        if round % 2 == 0 {
            backend.release(&grant).await.expect("a release succeeds");
        } else {
            sleep(ttl + ttl / 2).await;
        }
    }
}

/// Two backends on the same storage, such as those of two processes or that of one before and after
/// its restart, know each other's leases and fences.
///
/// It is not part of [`all`], as it needs a second value.
///
/// # Cancel safety
///
/// As [`all`].
///
/// # Panics
///
/// As [`all`].
pub async fn another_backend_goes_on(
    backend: &dyn LockBackend,
    another: &dyn LockBackend,
    key: &str,
    ttl: Duration,
) {
    let mut last = 0;
    for [holder, other] in [[backend, another], [another, backend]].repeat(2) {
        let grant = acquire(holder, key, Duration::from_secs(60)).await;
        assert!(last < grant.fence, "fence {} after {last}", grant.fence);
        let second = other.try_acquire(key, "other", ttl).await;
        assert!(matches!(second, Ok(None)), "two holders: {second:?}");
        let renewed = other.renew(&grant, ttl).await;
        assert!(matches!(renewed, Ok(Some(_))), "not renewed: {renewed:?}");
        other.release(&grant).await.expect("a release succeeds");
        let expires = acquire(other, key, ttl).await;
        assert!(grant.fence < expires.fence, "a fence came again");
        sleep(ttl + ttl / 2).await;
        last = expires.fence;
    }
}

async fn acquire(backend: &dyn LockBackend, key: &str, ttl: Duration) -> Grant {
    let outcome = backend.try_acquire(key, "suite", ttl).await;
    match outcome {
        Ok(Some(grant)) => grant,
        other => panic!("a free lease was not granted: {other:?}"),
    }
}
