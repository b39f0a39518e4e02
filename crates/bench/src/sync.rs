//! `sync`: the primitives of `steadfast-sync`.

use std::{convert::Infallible, error::Error, hint::black_box, io, sync::Arc, time::Instant};

use dashmap::DashMap;
use steadfast_sync::{AsyncLock, Semaphore, SingleFlight};
use tokio::{runtime::Builder, sync::Mutex, task::unconstrained};

use crate::{
    harness::{Case, Sampler},
    machine::versioned,
};

const KEYS: u64 = 1024;

pub(crate) fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    Ok(vec![keyed_lock()?, semaphore()?, single_flight()?])
}

fn keyed_lock() -> Result<Case, Box<dyn Error>> {
    let ours = AsyncLock::new();
    let lockable = lockable::LockPool::new();
    let keyed_lock = keyed_lock::r#async::KeyedLock::new();
    let recipe: DashMap<u64, Arc<Mutex<()>>> = DashMap::new();
    let unkeyed = Mutex::new(());
    let case = Case::new(
        "keyed lock and unlock, 1024 keys, one task",
        contender("steadfast-sync AsyncLock".into(), async move |key| {
            assert!(ours.lock(key).await.is_ok());
        })?,
    );
    let case = case
        .against(contender(
            versioned("lockable") + " LockPool",
            async move |key| {
                drop(lockable.async_lock(key).await);
            },
        )?)
        .against(contender(versioned("keyed-lock"), async move |key| {
            drop(keyed_lock.lock(key).await);
        })?)
        .against(contender(
            versioned("dashmap") + " of tokio mutexes",
            async move |key| {
                lock_by_recipe(&recipe, key).await;
            },
        )?)
        .against(contender(
            versioned("tokio") + " Mutex, no key",
            async move |_| {
                drop(unkeyed.lock().await);
            },
        )?);
    Ok(case)
}

/// What people write by hand: an entry is made on demand and removed by whoever used it last.
async fn lock_by_recipe(map: &DashMap<u64, Arc<Mutex<()>>>, key: u64) {
    let mutex = map.entry(key).or_default().clone();
    drop(mutex.lock().await);
    drop(mutex);
    map.remove_if(&key, |_, mutex| Arc::strong_count(mutex) == 1);
}

fn semaphore() -> Result<Case, Box<dyn Error>> {
    let ours = Semaphore::new(10)?;
    let tokios = tokio::sync::Semaphore::new(10);
    let case = Case::new(
        "semaphore, acquire and release of one permit, one task",
        contender("steadfast-sync Semaphore".into(), async move |_| {
            assert!(ours.acquire(1).await.is_ok());
        })?,
    );
    Ok(case.against(contender(
        versioned("tokio") + " Semaphore",
        async move |_| {
            assert!(tokios.acquire().await.is_ok());
        },
    )?))
}

fn single_flight() -> Result<Case, Box<dyn Error>> {
    let ours = SingleFlight::<u64, u64, Infallible>::new();
    let asyncbands = asyncband::singleflight::Group::<u64, u64>::new();
    let case = Case::new(
        "single flight, leader alone, work that is ready at once, 1024 keys",
        contender("steadfast-sync SingleFlight".into(), async move |key| {
            assert!(ours.run(key, async move || Ok(key)).await.is_ok());
        })?,
    );
    Ok(case.against(contender(
        versioned("asyncband") + " Group",
        async move |key| {
            assert_eq!(asyncbands.work(key, async move || key).await, key);
        },
    )?))
}

/// Runs `operation` on a current-thread runtime, outside tokio's budget: some contenders spend it
/// and others do not, and it is the primitive that is measured.
fn contender(
    name: String,
    operation: impl AsyncFn(u64) + 'static,
) -> io::Result<(String, Sampler)> {
    let runtime = Builder::new_current_thread().build()?;
    let sampler = move |operations| {
        runtime.block_on(unconstrained(async {
            #[expect(
                clippy::disallowed_methods,
                reason = "benchmarks measure the real time"
            )]
            let start = Instant::now();
            for number in 0..operations {
                operation(black_box(scattered(number))).await;
            }
            start.elapsed()
        }))
    };
    Ok((name, Box::new(sampler)))
}

/// The keys in an order that is no order: neighbours in time are not neighbours in a table.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & (KEYS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_numbers_meet_every_key() {
        let mut seen: Vec<_> = (0..KEYS * 32).map(scattered).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..KEYS).collect::<Vec<_>>());
    }
}
