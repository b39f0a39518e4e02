use std::{
    error::Error,
    sync::Arc,
    task::{Context, Waker},
};

use lockable::LockPool;
use steadfast_sync::AsyncLock;
use tokio::sync::Mutex;

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::{grouped, timed},
};

const OURS: &str = "steadfast-sync AsyncLock";

pub(super) fn peers() -> Result<Case, Box<dyn Error>> {
    const WAITERS: u64 = 10_000;
    Ok(Case::new(ours(WAITERS)?)
        .against(lockable(WAITERS)?)
        .against(tokios(WAITERS)?)
        .sampled(Sampling::LONG))
}

pub(super) fn linear() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(ours(100_000)?)
        .against(ours(10_000)?)
        .against(ours(1_000)?)
        .against(tokios(100_000)?)
        .against(tokios(1_000)?)
        .sampled(Sampling::LONG)
        .note(
            "The ratio is that of ours with 100 000 waiters; next to ours with fewer it says how \
             many times as long it takes to drop one of them.",
        ))
}

fn ours(waiters: u64) -> Result<Contender, Box<dyn Error>> {
    let lock = AsyncLock::builder().max_waiters(1_000_000).build()?;
    let lock: &'static AsyncLock<u64> = Box::leak(Box::new(lock));
    let guard = lock.try_lock(0)?;
    let name = named(OURS.to_owned(), waiters);
    let wait = move || {
        let _held = &guard;
        lock.lock(0)
    };
    let nothing_is_left = || assert_eq!(lock.waiters(&0), 0);
    Ok(storm(name, waiters, wait, nothing_is_left))
}

fn lockable(waiters: u64) -> Result<Contender, Box<dyn Error>> {
    let pool: &LockPool<u64> = Box::leak(Box::default());
    let guard = pool.try_lock(0).ok_or("a fresh pool has a lock held")?;
    let wait = move || {
        let _held = &guard;
        pool.async_lock(0)
    };
    let name = named(versioned("lockable") + " LockPool", waiters);
    Ok(storm(name, waiters, wait, || ()))
}

fn tokios(waiters: u64) -> Result<Contender, Box<dyn Error>> {
    let mutex = Arc::new(Mutex::new(()));
    let guard = Arc::clone(&mutex).try_lock_owned()?;
    let wait = move || {
        let _held = &guard;
        Arc::clone(&mutex).lock_owned()
    };
    let name = named(versioned("tokio") + " Mutex, no key", waiters);
    Ok(storm(name, waiters, wait, || ()))
}

fn named(lock: String, waiters: u64) -> String {
    format!("{lock}, {} waiters", grouped(waiters))
}

/// Makes so many futures wait, and measures how long it takes to drop them, each time in the same
/// random order.
fn storm<F: Future>(
    name: String,
    waiters: u64,
    wait: impl Fn() -> F + 'static,
    check_afterwards: impl Fn() + 'static,
) -> Contender {
    let mut order: Vec<_> = (0..waiters as usize).collect();
    order.sort_by_cached_key(|index| mixed(*index as u64));
    let sampler = move |_| {
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = order.iter().map(|_| Box::pin(Some(wait()))).collect();
        for waiter in waiting
            .iter_mut()
            .filter_map(|waiter| waiter.as_mut().as_pin_mut())
        {
            assert!(waiter.poll(&mut context).is_pending());
        }
        // Their memory is not freed in that time.
        let took = timed(|| {
            for index in &order {
                waiting[*index].as_mut().set(None);
            }
        });
        check_afterwards();
        took
    };
    Contender::new(name, Box::new(sampler)).exactly(waiters)
}

/// A number that looks random (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
