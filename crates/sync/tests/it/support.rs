use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use steadfast_clock::Clock;
use steadfast_sync::{AsyncLock, Registry};

mod events;

pub(crate) use self::events::Warnings;

pub(crate) const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A boxed future that can be polled by hand.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Polls once, with a waker that does nothing.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

pub(crate) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// One look of a watch. Call it in a runtime with timers.
pub(crate) fn look(registry: &Registry) {
    let mut watch = Box::pin(registry.watch(millis(1)).unwrap());
    assert!(poll(&mut watch).is_pending());
}

/// A clock that may not be read.
#[derive(Debug)]
pub(crate) struct Unread;

impl Clock for Unread {
    fn wall(&self) -> SystemTime {
        panic!("the clock was read");
    }

    fn monotonic(&self) -> steadfast_clock::Instant {
        panic!("the clock was read");
    }
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct WakeCount(AtomicUsize);

impl WakeCount {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Random numbers from a seed that is printed; set `STEADFAST_SEED` to replay a run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("STEADFAST_SEED").ok();
        let seed = given
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        println!("STEADFAST_SEED={seed}");
        Self(seed)
    }

    /// Other numbers, that depend on those so far.
    pub(crate) fn fork(&mut self) -> Self {
        self.below(2);
        Self(self.0.rotate_left(17))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A waker that uses the lock whenever it is cloned, dropped or woken: it would deadlock if any of
/// that happened under an internal mutex.
pub(crate) struct ReentrantWaker(pub(crate) Arc<AsyncLock<ReentrantKey>>);

impl Wake for ReentrantWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.0.locked_keys();
    }
}

impl Drop for ReentrantWaker {
    fn drop(&mut self) {
        let _ = self.0.locked_keys();
    }
}

/// A key that looks at all keys whenever it is cloned or dropped.
pub(crate) struct ReentrantKey {
    pub(crate) name: u32,
    pub(crate) lock: Option<Arc<AsyncLock<ReentrantKey>>>,
}

impl std::fmt::Debug for ReentrantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(lock) = &self.lock {
            let _ = lock.locked_keys();
        }
        f.write_str("ReentrantKey")
    }
}

impl PartialEq for ReentrantKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ReentrantKey {}

impl std::hash::Hash for ReentrantKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        if let Some(lock) = &self.lock {
            let _ = format!("{lock:?}");
        }
        self.name.hash(state);
    }
}

impl Clone for ReentrantKey {
    fn clone(&self) -> Self {
        if let Some(lock) = &self.lock {
            let _ = format!("{lock:?}");
        }
        Self {
            name: self.name,
            lock: None,
        }
    }
}

impl Drop for ReentrantKey {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _ = format!("{lock:?}");
        }
    }
}
