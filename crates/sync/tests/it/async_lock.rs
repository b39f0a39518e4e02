use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

use proptest::prelude::*;
use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{AsyncLock, LockError, LockGuard, Registry, TryLockError};
use tokio::task::JoinSet;

use crate::support::{
    Boxed, EPOCH, Random, ReentrantKey, ReentrantWaker, Unread, WakeCount, millis, poll, poll_with,
};

mod overdue;
mod snapshot;

type Wait<'a, K> = Boxed<'a, Result<LockGuard<'a, K>, LockError>>;

/// A future that waits in the key's queue.
fn queued<'a, K: Eq + std::hash::Hash + Send + Sync>(
    lock: &'a AsyncLock<K>,
    key: K,
) -> Wait<'a, K> {
    let mut wait: Wait<'a, K> = Box::pin(lock.lock(key));
    assert!(poll(&mut wait).is_pending());
    wait
}

/// The guard that a future in the queue has come to.
fn granted<'a, K>(wait: &mut Wait<'a, K>) -> LockGuard<'a, K> {
    match poll(wait) {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("it was not granted the key"),
    }
}

/// Nothing is locked, nobody waits, nothing is stored.
fn assert_empty<K>(lock: &AsyncLock<K>) {
    let debug = format!("{lock:?}");
    assert!(
        debug.contains("locked: 0") && debug.contains("waiters: 0"),
        "{debug}"
    );
}

#[test]
fn waiters_are_served_in_the_order_of_their_first_poll() {
    let lock = AsyncLock::new();
    let mut guard = lock.try_lock(1).unwrap();
    let mut waits: Vec<_> = (0..20).map(|_| queued(&lock, 1)).collect();
    assert_eq!(lock.waiters(&1), 20);
    for served in 0..20 {
        drop(guard);
        for (index, wait) in waits.iter_mut().enumerate().skip(served + 1).rev() {
            assert!(poll(wait).is_pending(), "{index} came before {served}");
        }
        let Poll::Ready(Ok(next)) = poll(&mut waits[served]) else {
            panic!("{served} was not served");
        };
        guard = next;
    }
    drop((guard, waits));
    assert_empty(&lock);
}

#[test]
fn different_keys_do_not_wait_for_each_other() {
    let lock = AsyncLock::new();
    let guards: Vec<_> = (0..1_000).map(|key| lock.try_lock(key).unwrap()).collect();
    let mut keys = lock.locked_keys();
    keys.sort_unstable();
    assert_eq!(keys, (0..1_000).collect::<Vec<_>>());
    drop(guards);
    assert_empty(&lock);
}

#[test]
fn future_that_was_never_polled_has_no_place() {
    let lock = AsyncLock::new();
    let early = lock.lock(1);
    let guard = lock.try_lock(1).unwrap();
    assert_eq!(lock.waiters(&1), 0);
    drop((early, guard));
    assert_empty(&lock);
}

#[test]
fn try_lock_does_not_pass_a_waiter_that_was_granted_the_key() {
    let lock = AsyncLock::new();
    let guard = lock.try_lock(1).unwrap();
    let mut wait = queued(&lock, 1);
    drop(guard);
    assert_eq!(lock.try_lock(1).unwrap_err(), TryLockError::Locked);
    drop(queued(&lock, 1));
    assert!(matches!(poll(&mut wait), Poll::Ready(Ok(_))));
    drop(wait);
    assert_empty(&lock);
}

#[test]
fn waiter_dropped_after_its_grant_passes_the_key_on() {
    let lock = AsyncLock::new();
    let guard = lock.try_lock(1).unwrap();
    let (first, mut second) = (queued(&lock, 1), queued(&lock, 1));
    let woken = Arc::new(WakeCount::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll_with(&mut second, &waker).is_pending());

    drop(guard);
    assert_eq!(woken.get(), 0);
    drop(first);
    assert_eq!(woken.get(), 1);
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
    assert_empty(&lock);
}

#[test]
fn last_waiter_dropped_after_its_grant_frees_the_key() {
    let lock = AsyncLock::new();
    let guard = lock.try_lock(1).unwrap();
    let wait = queued(&lock, 1);
    drop(guard);
    assert!(lock.is_locked(&1));
    drop(wait);
    assert_empty(&lock);
}

#[test]
fn cancellation_storm_leaves_nothing_behind() {
    let mut random = Random::seeded();
    let lock = AsyncLock::new();
    let mut guard = Some(lock.try_lock(1).unwrap());
    let mut waits: Vec<_> = (0..10_000).map(|_| Some(queued(&lock, 1))).collect();
    let mut order: Vec<_> = (0..waits.len()).collect();
    random.shuffle(&mut order);
    for (dropped, index) in order.into_iter().enumerate() {
        if dropped == 5_000 {
            // From here on, a waiter has been granted the key and each drop may pass it on.
            guard = None;
        }
        waits[index] = None;
        let expected = 10_000 - dropped - 1 - usize::from(guard.is_none() && dropped < 9_999);
        assert_eq!(lock.waiters(&1), expected);
    }
    assert_empty(&lock);
}

#[test]
fn row_06_double_release_cannot_let_a_second_holder_in() {
    let lock = AsyncLock::new();
    let guard = lock.try_lock(1).unwrap();
    let mut wait = queued(&lock, 1);
    drop(guard); // It is moved here, so that a second release does not compile.
    let Poll::Ready(Ok(second)) = poll(&mut wait) else {
        panic!("the key was not handed over");
    };
    // What is left of the first holder's and the waiter's futures releases nothing either.
    drop(wait);
    assert_eq!(lock.try_lock(1).unwrap_err(), TryLockError::Locked);
    drop(second);
    assert!(lock.try_lock(1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn timed_out_wait_says_who_was_in_the_way() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let lock = AsyncLock::builder()
        .name("users")
        .clock(clock)
        .build()
        .unwrap();
    let guard = lock.lock("key").await.unwrap();
    let _other = queued(&lock, "key");
    tokio::time::sleep(millis(30)).await;
    let error = lock.lock_timeout("key", millis(100)).await.unwrap_err();
    let LockError::Timeout {
        waited,
        queue_len,
        held_for,
    } = error
    else {
        panic!("{error}");
    };
    assert!(waited >= millis(100) && waited < millis(110), "{waited:?}");
    assert_eq!((queue_len, held_for), (1, waited + millis(30)));

    let locked = lock.inspect(&"key").unwrap();
    assert_eq!(locked.waiters, 1);
    assert_eq!(locked.held_for, Some(held_for));
    assert_eq!(locked.longest_wait, Some(held_for));
    assert!(locked.holder.location().file().ends_with("async_lock.rs"));
    drop(guard);
    assert_eq!(lock.inspect(&"key").unwrap().held_for, None);
}

#[tokio::test(start_paused = true)]
async fn key_released_in_time_ends_the_wait() {
    let lock = Arc::new(AsyncLock::new());
    let guard = lock.lock_owned("key").await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(millis(50)).await;
        drop(guard);
    });
    assert!(lock.lock_timeout("key", millis(51)).await.is_ok());
    assert_empty(&lock);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_shared_by_several_calls() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = AsyncLock::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let lock = builder.build().unwrap();
    let held = lock.lock(2).await.unwrap();
    let start = clock.monotonic();
    let deadline = start + millis(100);

    drop(lock.lock_until(1, deadline).await.unwrap());
    tokio::time::sleep(millis(60)).await;
    let many = lock.lock_many_until([3, 2, 1], deadline).await;
    assert!(matches!(many, Err(LockError::Timeout { waited, .. }) if waited < millis(45)));
    let owned = lock.lock_owned_until(2, deadline).await;
    assert!(matches!(owned, Err(LockError::Timeout { waited, .. }) if waited.is_zero()));
    let elapsed = clock.monotonic() - start;
    assert!(
        elapsed >= millis(100) && elapsed < millis(105),
        "{elapsed:?}"
    );
    assert_eq!(lock.locked_keys(), [2]);
    assert_eq!(lock.snapshot().timeouts, 2);

    drop(lock.lock_until(1, deadline).await.unwrap());
    drop(held);
    drop(lock.lock_many_until([2, 1], deadline).await.unwrap());
    assert_empty(&lock);
}

#[tokio::test]
async fn free_key_is_locked_and_released_without_reading_the_clock() {
    let builder = AsyncLock::builder().name("free").clock(Arc::new(Unread));
    let lock = builder.registry(&Registry::new()).build().unwrap();
    drop(lock.lock(1).await.unwrap());
    drop(lock.lock_timeout(1, millis(1)).await.unwrap());
    drop(lock.lock_until(1, SystemClock.monotonic()).await.unwrap());
    drop(lock.lock_owned(1).await.unwrap());
    drop(lock.try_lock(1).unwrap());
    assert_empty(&lock);
}

#[test]
fn full_queue_refuses_the_next_waiter_at_once() {
    let lock = AsyncLock::builder().max_waiters(2).build().unwrap();
    let _guard = lock.try_lock(1).unwrap();
    let (first, _second) = (queued(&lock, 1), queued(&lock, 1));
    let full = LockError::QueueFull { max_waiters: 2 };
    let mut third: Wait<'_, i32> = Box::pin(lock.lock(1));
    assert!(matches!(poll(&mut third), Poll::Ready(Err(error)) if error == full));
    drop(first);
    let _third = queued(&lock, 1);
}

#[test]
fn closed_lock_refuses_waiters_and_spares_holders() {
    let lock = AsyncLock::new();
    let guard = lock.try_lock(1).unwrap();
    let mut granted = queued(&lock, 1);
    let mut waiting = queued(&lock, 1);
    drop(guard);
    lock.close();
    assert!(matches!(
        poll(&mut waiting),
        Poll::Ready(Err(LockError::Closed))
    ));
    let Poll::Ready(Ok(guard)) = poll(&mut granted) else {
        panic!("what was granted before stays granted");
    };
    assert_eq!(lock.try_lock(2).unwrap_err(), TryLockError::Closed);
    drop((guard, waiting, granted));
    assert_empty(&lock);
}

#[tokio::test]
async fn with_lock_holds_the_key_during_the_future_and_releases_it_on_unwind() {
    let lock = Arc::new(AsyncLock::new());
    let seen = lock.with_lock(1, async { lock.is_locked(&1) }).await;
    assert_eq!(seen, Ok(true));
    let mut tasks = JoinSet::new();
    let panics = Arc::clone(&lock);
    tasks.spawn(async move { panics.with_lock(1, async { panic!("on purpose") }).await });
    assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
    assert_empty(&lock);
}

#[tokio::test]
async fn many_keys_are_locked_once_each() {
    let lock = AsyncLock::new();
    let guards = lock.lock_many([3, 1, 2, 1, 3]).await.unwrap();
    assert_eq!(guards.len(), 3);
    let mut keys = lock.locked_keys();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2, 3]);
    drop(guards);
    assert!(lock.lock_many(Vec::<u32>::new()).await.unwrap().is_empty());
    assert_empty(&lock);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lock_many_in_any_order_never_deadlocks(
        wanted in prop::collection::vec(prop::collection::vec(0_u8..6, 1..6), 2..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let lock = Arc::new(AsyncLock::new());
            let mut tasks = JoinSet::new();
            for keys in wanted {
                let lock = Arc::clone(&lock);
                tasks.spawn(async move {
                    let guards = lock.lock_many(keys).await.unwrap();
                    tokio::task::yield_now().await;
                    drop(guards);
                });
            }
            // Paused time runs on only when no task can: a deadlock is found at once.
            let all = tokio::time::timeout(millis(1_000), tasks.join_all()).await;
            assert!(all.is_ok(), "deadlock");
            assert_empty(&lock);
        });
    }

    #[test]
    fn any_sequence_of_locking_dropping_and_releasing_matches_the_model(
        steps in prop::collection::vec((0_u8..4, 0_usize..8), 1..200)
    ) {
        let lock = AsyncLock::new();
        let mut live: Vec<(Wait<'_, u8>, Option<LockGuard<'_, u8>>)> = Vec::new();
        for (action, pick) in steps {
            match action {
                0 | 1 => live.push((Box::pin(lock.lock(0)), None)),
                2 if !live.is_empty() => drop(live.remove(pick % live.len())),
                _ => {}
            }
            // The model: the oldest that is left holds the key, the others wait.
            for (index, (wait, guard)) in live.iter_mut().enumerate() {
                if guard.is_none() && let Poll::Ready(Ok(held)) = poll(wait) {
                    prop_assert_eq!(index, 0);
                    *guard = Some(held);
                }
            }
            prop_assert_eq!(live.first().is_some_and(|(_, guard)| guard.is_some()), !live.is_empty());
            prop_assert_eq!(lock.waiters(&0), live.len().saturating_sub(1));
        }
        drop(live);
        assert_empty(&lock);
    }
}

#[test]
fn user_code_in_keys_and_wakers_may_use_the_lock() {
    let lock = Arc::new(AsyncLock::new());
    let key = || ReentrantKey {
        name: 1,
        lock: Some(Arc::clone(&lock)),
    };
    let guard = lock.try_lock(key()).unwrap();
    assert!(lock.try_lock(key()).is_err());
    let mut wait = Box::pin(lock.lock(key()));
    for _ in 0..3 {
        let waker = Waker::from(Arc::new(ReentrantWaker(Arc::clone(&lock))));
        assert!(poll_with(&mut wait, &waker).is_pending());
    }
    assert_eq!(lock.locked_keys().len(), 1);
    drop(guard);
    assert!(poll(&mut wait).is_ready());
    drop(wait);
    assert_empty(&lock);
}

#[test]
fn panicking_eq_leaves_the_lock_usable() {
    static PANICS: AtomicBool = AtomicBool::new(false);
    #[derive(Debug)]
    struct Touchy(u8);
    impl std::hash::Hash for Touchy {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            assert!(!PANICS.load(Ordering::SeqCst), "on purpose");
            self.0 == other.0
        }
    }
    impl Eq for Touchy {}

    let lock = AsyncLock::new();
    let guard = lock.try_lock(Touchy(1)).unwrap();
    PANICS.store(true, Ordering::SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| lock.try_lock(Touchy(1)).is_ok()));
    assert!(panicked.is_err());
    PANICS.store(false, Ordering::SeqCst);
    assert_eq!(lock.try_lock(Touchy(1)).unwrap_err(), TryLockError::Locked);
    drop(guard);
    assert!(lock.try_lock(Touchy(1)).is_ok());
    assert_empty(&lock);
}

#[tokio::test]
async fn row_13_concurrent_updates_of_one_key_are_all_applied() {
    let lock = Arc::new(AsyncLock::new());
    let schedule = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (lock, schedule) = (Arc::clone(&lock), Arc::clone(&schedule));
        tasks.spawn(async move {
            let _guard = lock.lock("user").await.unwrap();
            let read = schedule.load(Ordering::SeqCst);
            tokio::task::yield_now().await;
            schedule.store(read + 1, Ordering::SeqCst);
        });
    }
    tasks.join_all().await;
    assert_eq!(schedule.load(Ordering::SeqCst), 100);
}
