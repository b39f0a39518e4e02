use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mockall::predicate::eq;
use steadfast_lease::{
    BackendError, Fencing, Grant, Guarantees, LeaseError, LockBackend, LossReason, MAX_TTL,
    MemoryBackend, MockLockBackend, Scope,
    test_util::{Fault, FaultyBackend, conformance},
};
use tokio::time::sleep;

use crate::support::{SEC, TTL, builder, clock};

#[tokio::test(start_paused = true)]
async fn memory_backend_conforms() {
    let backend = Arc::new(MemoryBackend::with_clock(clock()));
    conformance::all(Arc::clone(&backend) as _, "suite", SEC).await;
    assert_eq!(backend.guarantees().scope, Scope::Process);
    assert_eq!(backend.guarantees().fencing, Fencing::Monotonic);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_backend_gives_a_crowd_on_many_threads_one_grant() {
    let backend: Arc<dyn LockBackend> = Arc::new(MemoryBackend::new());
    for round in 0..200 {
        conformance::crowd_gets_one_grant(Arc::clone(&backend), &format!("key-{round}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn faulty_backend_without_faults_conforms() {
    let memory = MemoryBackend::with_clock(clock());
    let backend = FaultyBackend::new(memory, |_| Fault::None);
    conformance::all(Arc::new(backend), "suite", SEC).await;
}

/// Sets the end of a lease in a second step.
struct TwoSteps(MemoryBackend);

#[async_trait]
impl LockBackend for TwoSteps {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let Some(grant) = self.0.try_acquire(key, owner, MAX_TTL).await? else {
            return Ok(None);
        };
        tokio::task::yield_now().await;
        self.0.renew(&grant, ttl).await
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        self.0.renew(grant, ttl).await
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        self.0.release(grant).await
    }

    fn guarantees(&self) -> Guarantees {
        self.0.guarantees()
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "dropped after 1 polls holds the lease for good")]
async fn suite_finds_the_lease_that_a_dropped_attempt_leaves_behind() {
    let backend = TwoSteps(MemoryBackend::with_clock(clock()));
    conformance::dropped_attempt_expires(&backend, "key", SEC).await;
}

/// A grant of the injected backend, from the clock's now.
fn grant(clock: &Arc<dyn steadfast_clock::Clock>, fence: u64) -> Grant {
    Grant::new("key", "a", fence, clock.monotonic(), TTL)
}

#[tokio::test(start_paused = true)]
async fn injected_failure_of_the_acquisition_is_the_error_and_the_work_is_not_begun() {
    let mut mock = MockLockBackend::new();
    mock.expect_try_acquire()
        .once()
        .with(eq("key"), eq("a"), eq(TTL))
        .returning(|_, _, _| Err(BackendError::permanent("password refused")));
    let lock = builder(Arc::new(mock), &clock(), "a").build().unwrap();
    let error = lock
        .run(async |_| panic!("the work was begun"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot acquire the lease of `key`");
    let LeaseError::Acquire { source, .. } = error else {
        panic!("another error");
    };
    assert_eq!(source.to_string(), "password refused");
}

#[tokio::test(start_paused = true)]
async fn injected_failure_of_the_renewal_cancels_and_releases_that_grant() {
    let clock = clock();
    let granted = grant(&clock, 7);
    let mut mock = MockLockBackend::new();
    let first = granted.clone();
    mock.expect_try_acquire()
        .once()
        .returning(move |_, _, _| Ok(Some(first.clone())));
    mock.expect_renew()
        .once()
        .with(eq(granted.clone()), eq(TTL))
        .returning(|_, _| Err(BackendError::permanent("table is gone")));
    mock.expect_release()
        .once()
        .with(eq(granted))
        .returning(|_| Err(BackendError::transient("connection reset")));
    let lock = builder(Arc::new(mock), &clock, "a").build().unwrap();
    let error = lock
        .run(async |cx| {
            assert_eq!(cx.fence(), 7);
            cx.cancellation().cancelled().await;
        })
        .await
        .unwrap_err();
    let LeaseError::Lost(lost) = error else {
        panic!("another error: {error}");
    };
    let message = "table is gone".to_owned();
    assert_eq!(lost.reason, LossReason::Refused { message });
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_backend_in_a_renewal_cancels_the_work() {
    let clock = clock();
    let granted = grant(&clock, 7);
    let mut mock = MockLockBackend::new();
    mock.expect_try_acquire()
        .once()
        .returning(move |_, _, _| Ok(Some(granted.clone())));
    mock.expect_renew()
        .once()
        .returning(|_, _| std::panic::resume_unwind(Box::new("injected")));
    mock.expect_release().once().returning(|_| Ok(()));
    let lock = builder(Arc::new(mock), &clock, "a").build().unwrap();
    let outcome = lock
        .run(async |cx| {
            cx.cancellation().cancelled().await;
            cx.check().unwrap_err()
        })
        .await;
    let Err(LeaseError::Lost(lost)) = outcome else {
        panic!("another outcome: {outcome:?}");
    };
    let message = "the backend panicked: injected".to_owned();
    assert_eq!(lost.reason, LossReason::Refused { message });
}

#[tokio::test(start_paused = true)]
async fn grant_that_arrives_too_late_to_be_used_is_given_back() {
    let clock = clock();
    let late = grant(&clock, 7);
    let mut mock = MockLockBackend::new();
    let given = late.clone();
    mock.expect_try_acquire()
        .once()
        .returning(move |_, _, _| Ok(Some(given.clone())));
    mock.expect_release()
        .once()
        .with(eq(late))
        .returning(|_| Ok(()));
    let lock = builder(Arc::new(mock), &clock, "a").build().unwrap();
    // As long as the answer was under way.
    sleep(TTL - 3 * SEC).await;
    let error = lock
        .try_run(async |_| panic!("the work was begun"))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        LeaseError::AcquireTimedOut { after: TTL, .. }
    ));
}
