use std::{
    collections::VecDeque,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

use proptest::prelude::*;
use steadfast_clock::ManualClock;
use steadfast_sync::{AcquireError, Permit, Semaphore, TryAcquireError};

use crate::support::{Boxed, EPOCH, Random, millis, poll};

mod overdue;

type Wait<'a> = Boxed<'a, Result<Permit<'a>, AcquireError>>;

fn queued(semaphore: &Semaphore, permits: usize) -> Wait<'_> {
    let mut wait: Wait<'_> = Box::pin(semaphore.acquire(permits));
    assert!(poll(&mut wait).is_pending());
    wait
}

fn granted<'a>(wait: &mut Wait<'a>) -> Permit<'a> {
    match poll(wait) {
        Poll::Ready(Ok(permit)) => permit,
        other => panic!("expected a permit, got {other:?}"),
    }
}

fn assert_unused(semaphore: &Semaphore) {
    let debug = format!("{semaphore:?}");
    assert!(
        debug.contains("in_use: 0") && debug.contains("tracked_callers: 0"),
        "{debug}"
    );
}

#[test]
fn large_request_is_not_passed_by_small_ones() {
    let semaphore = Semaphore::new(10).unwrap();
    let held = semaphore.try_acquire(6).unwrap();
    let mut large = queued(&semaphore, 8);
    let mut small = queued(&semaphore, 1);
    assert_eq!(
        semaphore.try_acquire(1).unwrap_err(),
        TryAcquireError::NoPermits {
            available: 4,
            waiting: 2
        }
    );
    drop(held);
    let large = granted(&mut large);
    let small = granted(&mut small);
    assert_eq!((large.permits(), small.permits()), (8, 1));
    assert_eq!(semaphore.available(), 1);
    drop((large, small));
    assert_unused(&semaphore);
}

#[test]
fn dropped_large_request_lets_small_ones_through() {
    let semaphore = Semaphore::new(10).unwrap();
    let _held = semaphore.try_acquire(6).unwrap();
    let large = queued(&semaphore, 8);
    let (mut a, mut b) = (queued(&semaphore, 3), queued(&semaphore, 2));
    drop(large);
    assert_eq!(granted(&mut a).permits(), 3);
    assert_eq!(granted(&mut b).permits(), 2);
}

#[test]
fn waiter_dropped_after_its_grant_passes_the_permits_on() {
    let semaphore = Semaphore::new(2).unwrap();
    let held = semaphore.try_acquire(2).unwrap();
    let (first, mut second) = (queued(&semaphore, 2), queued(&semaphore, 2));
    drop(held);
    assert!(poll(&mut second).is_pending());
    drop(first);
    drop(granted(&mut second));
    assert_unused(&semaphore);
}

#[test]
fn senseless_requests_are_refused_at_once() {
    let semaphore = Semaphore::new(3).unwrap();
    let exceeds = AcquireError::ExceedsCapacity {
        requested: 4,
        capacity: 3,
    };
    let mut too_many: Wait<'_> = Box::pin(semaphore.acquire(4));
    assert!(matches!(poll(&mut too_many), Poll::Ready(Err(error)) if error == exceeds));
    let mut none: Wait<'_> = Box::pin(semaphore.acquire(0));
    assert!(matches!(
        poll(&mut none),
        Poll::Ready(Err(AcquireError::ZeroPermits))
    ));
    assert_eq!(
        semaphore.try_acquire(0).unwrap_err(),
        TryAcquireError::ZeroPermits
    );
}

#[test]
fn lowered_capacity_is_a_debt_and_refuses_what_no_longer_fits() {
    let semaphore = Semaphore::new(10).unwrap();
    let (a, b) = (
        semaphore.try_acquire(6).unwrap(),
        semaphore.try_acquire(4).unwrap(),
    );
    let (mut large, mut small) = (queued(&semaphore, 7), queued(&semaphore, 2));
    semaphore.set_capacity(5).unwrap();
    let refused = AcquireError::ExceedsCapacity {
        requested: 7,
        capacity: 5,
    };
    assert!(matches!(poll(&mut large), Poll::Ready(Err(error)) if error == refused));
    drop(b);
    assert!(poll(&mut small).is_pending(), "6 of 5 are in use");
    drop(a);
    drop(granted(&mut small));
    drop(large);
    assert_unused(&semaphore);
}

#[test]
fn raised_capacity_serves_waiters_at_once() {
    let semaphore = Semaphore::new(1).unwrap();
    let _held = semaphore.try_acquire(1).unwrap();
    let (mut a, mut b) = (queued(&semaphore, 1), queued(&semaphore, 1));
    semaphore.set_capacity(2).unwrap();
    let _a = granted(&mut a);
    assert!(poll(&mut b).is_pending());
    assert_eq!(semaphore.set_capacity(0).unwrap_err().field(), "capacity");
}

#[tokio::test(start_paused = true)]
async fn timed_out_wait_says_how_many_others_wait() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let semaphore = Semaphore::builder(1).clock(clock).build().unwrap();
    let _held = semaphore.acquire(1).await.unwrap();
    let other = queued(&semaphore, 1);
    let error = semaphore.acquire_timeout(1, millis(100)).await.unwrap_err();
    let AcquireError::Timeout { waited, queue_len } = error else {
        panic!("{error}");
    };
    assert!(waited >= millis(100) && waited < millis(110), "{waited:?}");
    assert_eq!((queue_len, semaphore.waiting()), (1, 1));
    assert_eq!(semaphore.oldest_wait(), Some(waited));
    drop(other);
    assert_eq!(semaphore.oldest_wait(), None);
}

#[test]
fn full_queue_and_closed_semaphore_refuse_waiters() {
    let semaphore = Semaphore::builder(1).max_waiters(1).build().unwrap();
    let held = semaphore.try_acquire(1).unwrap();
    let mut waiting = queued(&semaphore, 1);
    let mut refused: Wait<'_> = Box::pin(semaphore.acquire(1));
    let full = AcquireError::QueueFull { max_waiters: 1 };
    assert!(matches!(poll(&mut refused), Poll::Ready(Err(error)) if error == full));
    semaphore.close();
    assert!(matches!(
        poll(&mut waiting),
        Poll::Ready(Err(AcquireError::Closed))
    ));
    assert_eq!(
        semaphore.try_acquire(1).unwrap_err(),
        TryAcquireError::Closed
    );
    drop((held, waiting, refused));
    assert_unused(&semaphore);
}

#[test]
fn cancellation_storm_leaves_nothing_behind() {
    let mut random = Random::seeded();
    let semaphore = Semaphore::new(8).unwrap();
    let held = semaphore.try_acquire(8).unwrap();
    let mut waits: Vec<_> = (0..10_000)
        .map(|_| queued(&semaphore, 1 + random.below(8)))
        .collect();
    random.shuffle(&mut waits);
    waits.truncate(5_000);
    assert_eq!(semaphore.waiting(), 5_000);
    drop(held);
    drop(waits);
    assert_unused(&semaphore);
}

#[test]
fn row_19_connection_limit_holds_under_a_burst() {
    const LIMIT: usize = 5;
    let connections = Semaphore::new(LIMIT).unwrap();
    let (open, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..2_000 {
                    let Ok(connection) = connections.try_acquire(1) else {
                        continue;
                    };
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    open.fetch_sub(1, Ordering::SeqCst);
                    drop(connection);
                }
            });
        }
    });
    assert!((1..=LIMIT).contains(&most.load(Ordering::SeqCst)));
    assert_unused(&connections);
}

/// The semaphore as a list: who holds what, and who waits for what.
#[derive(Default)]
struct Model {
    capacity: usize,
    in_use: usize,
    queue: VecDeque<(usize, usize)>,
}

impl Model {
    fn serve(&mut self) -> Vec<usize> {
        let mut served = Vec::new();
        while let Some(&(id, permits)) = self.queue.front() {
            if self.in_use + permits > self.capacity {
                break;
            }
            self.in_use += permits;
            self.queue.pop_front();
            served.push(id);
        }
        served
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sequence_of_operations_matches_the_model(
        steps in prop::collection::vec((0_u8..6, 1_usize..7, any::<prop::sample::Index>()), 1..120)
    ) {
        let semaphore = Semaphore::new(6).unwrap();
        let mut model = Model { capacity: 6, ..Model::default() };
        let mut waits: Vec<(usize, Wait<'_>)> = Vec::new();
        let mut held: Vec<Permit<'_>> = Vec::new();
        for (id, (action, permits, index)) in steps.into_iter().enumerate() {
            match action {
                0..=2 => {
                    let mut wait: Wait<'_> = Box::pin(semaphore.acquire(permits));
                    let first = poll(&mut wait);
                    if permits > model.capacity {
                        prop_assert!(matches!(first, Poll::Ready(Err(_))));
                        continue;
                    }
                    model.queue.push_back((id, permits));
                    match first {
                        Poll::Ready(Ok(permit)) => {
                            prop_assert_eq!(model.serve(), [id]);
                            held.push(permit);
                        }
                        _ => {
                            prop_assert!(model.serve().is_empty());
                            waits.push((id, wait));
                        }
                    }
                    continue;
                }
                3 if !held.is_empty() => {
                    let permit = held.swap_remove(index.index(held.len()));
                    model.in_use -= permit.permits();
                }
                4 if !waits.is_empty() => {
                    let (id, _) = waits.remove(index.index(waits.len()));
                    model.queue.retain(|(queued, _)| *queued != id);
                }
                5 => {
                    semaphore.set_capacity(permits).unwrap();
                    model.capacity = permits;
                    model.queue.retain(|(_, wanted)| *wanted <= permits);
                }
                _ => {}
            }
            let served = model.serve();
            let mut now_served = Vec::new();
            waits.retain_mut(|(id, wait)| match poll(wait) {
                Poll::Ready(Ok(permit)) => {
                    now_served.push(*id);
                    held.push(permit);
                    false
                }
                Poll::Ready(Err(_)) => false,
                Poll::Pending => true,
            });
            prop_assert_eq!(now_served, served);
            prop_assert_eq!(waits.len(), model.queue.len());
            prop_assert_eq!(semaphore.available(), model.capacity.saturating_sub(model.in_use));
        }
        drop((waits, held));
        assert_unused(&semaphore);
    }
}
