use std::{pin::pin, sync::Mutex, time::Duration};

use shuttle::{future::block_on, sync, thread};
use steadfast_sync::AsyncLock;

use super::{assert_says, at_most, below, explore, patience, race};

const LIMIT: Duration = Duration::from_secs(1);

fn assert_nothing_left(lock: &AsyncLock<u8>) {
    assert_says(lock, &["locked: 0", "waiters: 0"]);
    assert!(lock.locked_keys().is_empty());
}

#[test]
fn callers_are_served_per_key_in_the_order_in_which_they_came() {
    explore(|| {
        let lock = AsyncLock::new();
        // Held during a caller's first poll, so that there is no doubt about the order.
        let arrivals = sync::Mutex::new([Vec::new(), Vec::new()]);
        let served = Mutex::new([Vec::new(), Vec::new()]);
        race(5, |caller| {
            let key = caller % 2;
            block_on(async {
                let mut lock = pin!(lock.lock(key as u8));
                let first = {
                    let mut arrivals = arrivals.lock().unwrap();
                    arrivals[key].push(caller);
                    let waker = std::task::Waker::noop();
                    lock.as_mut()
                        .poll(&mut std::task::Context::from_waker(waker))
                };
                let guard = match first {
                    std::task::Poll::Ready(guard) => guard,
                    std::task::Poll::Pending => lock.await,
                };
                let guard = guard.unwrap();
                served.lock().unwrap()[key].push(caller);
                thread::yield_now();
                drop(guard);
            });
        });
        assert_eq!(arrivals.into_inner().unwrap(), served.into_inner().unwrap());
        assert_nothing_left(&lock);
    });
}

#[test]
fn callers_that_give_up_at_any_time_leave_nothing_behind() {
    explore(|| {
        let (lock, inside) = (AsyncLock::new(), sync::Mutex::new(()));
        race(4, |_| {
            for _ in 0..2 {
                let lock_once = async {
                    let guard = match below(4) {
                        0 => lock.try_lock(1).ok(),
                        1 => lock.lock_timeout(1, LIMIT).await.ok(),
                        _ => Some(lock.lock(1).await.unwrap()),
                    };
                    if guard.is_some() {
                        let _alone = inside.try_lock().unwrap();
                        thread::yield_now();
                    }
                };
                block_on(at_most(patience(), lock_once));
            }
        });
        assert_nothing_left(&lock);
    });
}

#[test]
fn many_keys_in_any_order_never_deadlock() {
    explore(|| {
        let lock = AsyncLock::new();
        race(4, |_| {
            // Any order, also twice the same.
            let keys: Vec<u8> = (0..3).map(|_| below(4) as u8).collect();
            block_on(at_most(patience(), async {
                let _guards = lock.lock_many(keys).await.unwrap();
                thread::yield_now();
            }));
        });
        assert_nothing_left(&lock);
    });
}
