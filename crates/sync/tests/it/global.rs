//! These share the process with all other tests, so no name is used by two of them.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use steadfast_sync::{AsyncLock, BreakerState, Registry, Semaphore, global};

#[tokio::test]
async fn each_is_made_once_and_listed_by_the_name_of_its_function() {
    let locks = [
        global::async_lock,
        global::web_socket_lock,
        global::scheduler_lock,
    ];
    for lock in locks {
        assert!(Arc::ptr_eq(&lock(), &lock()));
        let guard = lock().lock_owned("key".to_owned()).await.unwrap();
        assert!(lock().is_locked(&"key".to_owned()));
        drop(guard);
    }
    let (limiter, breaker) = (
        global::api_rate_limiter(),
        global::database_circuit_breaker(),
    );
    assert_eq!(limiter.available(), 100);
    for failure in 1..=5 {
        assert_eq!(breaker.state(), BreakerState::Closed, "after {failure}");
        let _ = breaker.try_acquire().unwrap().failure();
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.close();

    let snapshot = Registry::global().snapshot();
    let listed: BTreeSet<_> = snapshot.iter().map(|seen| seen.name.as_str()).collect();
    for name in [
        "async_lock",
        "web_socket_lock",
        "scheduler_lock",
        "api_rate_limiter",
        "database_circuit_breaker",
    ] {
        assert!(listed.contains(name), "{name} is not among {listed:?}");
    }
}

#[test]
fn replacement_is_there_until_it_is_dropped_and_nests() {
    let mine = Arc::new(Semaphore::new(1).unwrap());
    let outer = global::replace_database_semaphore(Arc::clone(&mine));
    assert!(Arc::ptr_eq(&global::database_semaphore(), &mine));
    let inner = global::replace_database_semaphore(Arc::new(Semaphore::new(2).unwrap()));
    assert_eq!(global::database_semaphore().capacity(), 2);
    drop(inner);
    assert!(Arc::ptr_eq(&global::database_semaphore(), &mine));
    drop(outer);
    assert_eq!(global::database_semaphore().capacity(), 10);
    assert_eq!(Arc::strong_count(&mine), 1, "kept after it was put away");
}

#[test]
fn replacement_is_put_back_on_unwind() {
    let former = global::database_lock();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _replaced = global::replace_database_lock(Arc::new(AsyncLock::new()));
        assert!(Arc::ptr_eq(&global::database_lock(), &former), "replaced");
    }));
    assert!(outcome.is_err());
    assert!(Arc::ptr_eq(&global::database_lock(), &former));
}
