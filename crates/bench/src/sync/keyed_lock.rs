use std::{error::Error, io, ops::Range, sync::Arc};

use dashmap::DashMap;
use keyed_lock::r#async::KeyedLock;
use lockable::LockPool;
use steadfast_sync::AsyncLock;
use tokio::{runtime::Builder, sync::Mutex};

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::{alone as in_one_task, grouped, in_tasks, scattered},
};

const KEYS: u64 = 1024;

type Recipe = DashMap<u64, Arc<Mutex<()>>>;

pub(super) fn alone() -> Result<Case, Box<dyn Error>> {
    let ours = AsyncLock::new();
    let pool = LockPool::new();
    let keyed = KeyedLock::new();
    let recipe = Recipe::new();
    let unkeyed = Mutex::new(());
    let key = |number| scattered(number, KEYS);
    let case = Case::new(in_one_task(OURS, async move |number| {
        assert!(ours.lock(key(number)).await.is_ok());
    })?);
    let lockable = in_one_task(lockable(), async move |number| {
        drop(pool.async_lock(key(number)).await);
    })?;
    let keyed_lock = in_one_task(keyed_lock(), async move |number| {
        drop(keyed.lock(key(number)).await);
    })?;
    let by_hand = in_one_task(by_hand(), async move |number| {
        lock_by_recipe(&recipe, key(number)).await;
    })?;
    let tokios = in_one_task(tokio_mutex(), async move |_| {
        drop(unkeyed.lock().await);
    })?;
    Ok(case
        .against(lockable.at_most(0.7))
        .against(keyed_lock.at_most(0.7))
        .against(by_hand.at_most(0.7))
        .against(tokios)
        .note(
            "A lock without keys has no table to look into; it stands here to show what the keys \
             cost.",
        ))
}

pub(super) fn one_key() -> Result<Case, Box<dyn Error>> {
    const TASKS: u64 = 8;
    let [ours, lockable, keyed_lock, by_hand] = keyed(TASKS, 1)?;
    let mutex = Arc::new(Mutex::new(()));
    let tokios = in_tasks(tokio_mutex(), TASKS, move |numbers| {
        let mutex = Arc::clone(&mutex);
        async move {
            for _ in numbers {
                drop(mutex.lock().await);
            }
        }
    })?;
    let mutex = Arc::new(asyncband::mutex::Mutex::new(()));
    let name = versioned("asyncband") + " Mutex, no key";
    let asyncbands = in_tasks(name, TASKS, move |numbers| {
        let mutex = Arc::clone(&mutex);
        async move {
            for _ in numbers {
                drop(mutex.lock().await);
            }
        }
    })?;
    Ok(Case::new(ours)
        .against(lockable.at_most(1.0))
        .against(keyed_lock.at_most(1.0))
        .against(by_hand.at_most(1.0))
        .against(tokios.at_most(1.1))
        .against(asyncbands)
        .sampled(Sampling::LONG))
}

pub(super) fn keys_1() -> Result<Case, Box<dyn Error>> {
    many_tasks(1)
}

pub(super) fn keys_64() -> Result<Case, Box<dyn Error>> {
    many_tasks(64)
}

pub(super) fn keys_100_000() -> Result<Case, Box<dyn Error>> {
    many_tasks(100_000)
}

pub(super) fn held_keys() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(while_held(1_000_000)?)
        .against(while_held(100_000)?)
        .against(while_held(1_000)?)
        .note(
            "All are ours. The ratio says how many times as long an operation takes with 1 000 000 \
             keys held as with fewer.",
        ))
}

fn many_tasks(keys: u64) -> Result<Case, Box<dyn Error>> {
    let [ours, lockable, keyed_lock, by_hand] = keyed(64, keys)?;
    Ok(Case::new(ours)
        .against(lockable.at_most(1.0))
        .against(keyed_lock)
        .against(by_hand.at_most(1.0))
        .sampled(Sampling::LONG))
}

/// Ours and the keyed peers, each in so many tasks that lock any of so many keys.
fn keyed(tasks: u64, keys: u64) -> io::Result<[Contender; 4]> {
    let lock = Arc::new(AsyncLock::new());
    let ours = in_tasks(OURS, tasks, move |numbers| {
        let lock = Arc::clone(&lock);
        async move {
            for key in keys_of(numbers, keys) {
                assert!(lock.lock(key).await.is_ok());
            }
        }
    })?;
    let pool = Arc::new(LockPool::new());
    let lockable = in_tasks(lockable(), tasks, move |numbers| {
        let pool = Arc::clone(&pool);
        async move {
            for key in keys_of(numbers, keys) {
                drop(pool.async_lock(key).await);
            }
        }
    })?;
    let lock = Arc::new(KeyedLock::new());
    let keyed_lock = in_tasks(keyed_lock(), tasks, move |numbers| {
        let lock = Arc::clone(&lock);
        async move {
            for key in keys_of(numbers, keys) {
                drop(lock.lock(key).await);
            }
        }
    })?;
    let recipe = Arc::new(Recipe::new());
    let by_hand = in_tasks(by_hand(), tasks, move |numbers| {
        let recipe = Arc::clone(&recipe);
        async move {
            for key in keys_of(numbers, keys) {
                lock_by_recipe(&recipe, key).await;
            }
        }
    })?;
    Ok([ours, lockable, keyed_lock, by_hand])
}

/// Ours, while so many other keys are held.
fn while_held(held: u64) -> Result<Contender, Box<dyn Error>> {
    let lock = Arc::new(AsyncLock::new());
    let runtime = Builder::new_current_thread().build()?;
    let others = (KEYS..KEYS + held).map(|key| runtime.block_on(lock.lock_owned(key)));
    let guards = others.collect::<Result<Vec<_>, _>>()?;
    let name = format!("{OURS}, {} held", grouped(held));
    Ok(in_one_task(name, async move |number| {
        let _held = &guards;
        assert!(lock.lock(scattered(number, KEYS)).await.is_ok());
    })?)
}

fn keys_of(numbers: Range<u64>, keys: u64) -> impl Iterator<Item = u64> {
    numbers.map(move |number| scattered(number, keys))
}

/// What people write by hand: an entry is made on demand and removed by whoever used it last.
async fn lock_by_recipe(map: &Recipe, key: u64) {
    let mutex = map.entry(key).or_default().clone();
    drop(mutex.lock().await);
    drop(mutex);
    map.remove_if(&key, |_, mutex| Arc::strong_count(mutex) == 1);
}

const OURS: &str = "steadfast-sync AsyncLock";

fn lockable() -> String {
    versioned("lockable") + " LockPool"
}

fn keyed_lock() -> String {
    versioned("keyed-lock") + " KeyedLock"
}

fn by_hand() -> String {
    versioned("dashmap") + " of tokio mutexes"
}

fn tokio_mutex() -> String {
    versioned("tokio") + " Mutex, no key"
}
