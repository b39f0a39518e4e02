use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use shuttle::{future::block_on, thread};
use steadfast_sync::Semaphore;

use super::{assert_says, at_most, below, explore, patience, race};

const CAPACITY: usize = 3;
const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn mixed_weights_never_exceed_the_capacity_and_leave_nothing_behind() {
    explore(|| {
        let semaphore = Semaphore::new(CAPACITY).unwrap();
        let in_use = AtomicUsize::new(0);
        race(4, |_| {
            for _ in 0..2 {
                let permits = 1 + below(CAPACITY);
                let acquire_once = async {
                    let permit = match below(4) {
                        0 => semaphore.try_acquire(permits).ok(),
                        1 => semaphore.acquire_timeout(permits, LIMIT).await.ok(),
                        _ => Some(semaphore.acquire(permits).await.unwrap()),
                    };
                    if permit.is_some() {
                        let before = in_use.fetch_add(permits, Ordering::SeqCst);
                        assert!(before + permits <= CAPACITY);
                        thread::yield_now();
                        in_use.fetch_sub(permits, Ordering::SeqCst);
                    }
                };
                block_on(at_most(patience(), acquire_once));
            }
        });
        assert_eq!(semaphore.available(), CAPACITY);
        assert_says(&semaphore, &["in_use: 0", "tracked_callers: 0"]);
    });
}

#[test]
fn capacity_that_changes_all_the_time_loses_no_permit() {
    explore(|| {
        let semaphore = Semaphore::new(CAPACITY).unwrap();
        race(4, |caller| {
            if caller == 0 {
                for capacity in [1, 4, 2] {
                    semaphore.set_capacity(capacity).unwrap();
                }
                return;
            }
            // Refused while the capacity is lower.
            let acquire = async { semaphore.acquire(caller).await.ok() };
            drop(block_on(at_most(patience(), acquire)));
        });
        assert_eq!(semaphore.available(), 2);
        assert_says(&semaphore, &["in_use: 0", "tracked_callers: 0"]);
    });
}
