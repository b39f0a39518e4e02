//! Backends that panic: the call has failed, and nobody goes on as if it had not.

use std::sync::Arc;

use steadfast_clock::Clock;
use steadfast_lease::{
    Elector, ElectorState, LeaseContext, LeaseError, LockBackend, test_util::Fault,
};
use tokio::{sync::watch, time::sleep};

use crate::support::{Faulty, SEC, TTL, clock, faulty, lock};

const FAULTS: [Fault; 2] = [Fault::Panics, Fault::AnswerPanics];

/// An elector whose work ends a second after it was told to.
fn elector(backend: &Faulty, clock: &Arc<dyn Clock>) -> Elector {
    Elector::builder(lock(backend, clock, "a")).start(async |cx: LeaseContext| {
        cx.cancellation().cancelled().await;
        sleep(SEC).await;
    })
}

async fn until(
    state: &mut watch::Receiver<ElectorState>,
    wanted: impl FnMut(&ElectorState) -> bool,
) -> ElectorState {
    *state.wait_for(wanted).await.expect("the elector goes on")
}

/// Whether somebody else is granted the lease now.
async fn is_free(backend: &Faulty) -> bool {
    let granted = backend.inner().try_acquire("key", "rival", SEC).await;
    granted.expect("no fault").is_some()
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_acquisition_makes_a_follower_that_asks_again() {
    for fault in FAULTS {
        let clock = clock();
        let backend = faulty(&clock, move |call| match call {
            0 => fault,
            _ => Fault::None,
        });
        let begun = clock.monotonic();
        let elector = elector(&backend, &clock);
        let mut state = elector.subscribe();
        until(&mut state, |state| *state == ElectorState::Follower).await;
        until(&mut state, |state| state.is_leader()).await;
        // Where it took effect nobody knows of the lease, and it has to expire.
        let longest = match fault {
            Fault::Panics => 3 * SEC,
            _ => TTL + 3 * SEC,
        };
        assert!(clock.monotonic() - begun <= longest, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_renewal_demotes_at_once_and_another_term_follows() {
    for fault in FAULTS {
        let clock = clock();
        let backend = faulty(&clock, move |call| match call {
            1 => fault,
            _ => Fault::None,
        });
        let begun = clock.monotonic();
        let elector = elector(&backend, &clock);
        let mut state = elector.subscribe();
        until(&mut state, |state| state.is_leader()).await;
        let demoted = until(&mut state, |state| !state.is_leader()).await;
        assert_eq!(demoted, ElectorState::StoppingWork { fence: 1 });
        assert!(!is_free(&backend).await, "demoted too late");
        let waited = clock.monotonic() - begun;
        assert_eq!(waited.as_secs(), 10, "at the first renewal");
        until(&mut state, |state| *state == ElectorState::Released).await;
        let leader = until(&mut state, |state| state.is_leader()).await;
        assert_eq!(leader.fence(), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_release_leaves_the_lease_to_expire() {
    let clock = clock();
    let backend = faulty(&clock, |call| match call {
        1 => Fault::Panics,
        _ => Fault::None,
    });
    let elector = elector(&backend, &clock);
    let mut state = elector.subscribe();
    until(&mut state, |state| state.is_leader()).await;
    elector.resign(2 * SEC).await.unwrap();
    assert_eq!(elector.state(), ElectorState::Released);
    assert!(!is_free(&backend).await, "it is left to expire");
    let leader = until(&mut state, |state| state.is_leader()).await;
    assert_eq!(leader.fence(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn run_that_meets_a_panic_of_the_backend_fails_with_its_message() {
    let clock = clock();
    let backend = faulty(&clock, |call| match call {
        0 | 2 => Fault::Panics,
        _ => Fault::None,
    });
    let lock = lock(&backend, &clock, "a");
    let outcome = lock.run(async |_| panic!("the work was begun")).await;
    let Err(LeaseError::Acquire { source, .. }) = outcome else {
        panic!("another outcome: {outcome:?}");
    };
    assert_eq!(source.to_string(), "the backend panicked: injected");
    // The release panics: the work was done all the same.
    assert_eq!(lock.run(async |_| 5).await.unwrap(), 5);
    assert!(!is_free(&backend).await, "it is left to expire");
}
