//! Race-free async primitives: keyed lock, semaphore, single flight, initialisation cell, retry,
//! circuit breaker, rate limiters, debounce and throttle.
//!
//! For: async services on tokio that must neither race, nor hang, nor leak when tasks are
//! cancelled. Not for: exclusion between processes (a lease does that), and not for code that
//! holds something for a few instructions and never awaits (`std::sync::Mutex` is made for that).
//!
//! # Guarantees
//!
//! - A future does nothing until it is polled. Dropping it at any await undoes its place in O(1)
//!   and leaves nothing behind.
//! - What a waiter gets belongs to it before the release that frees it returns. If the waiter is
//!   dropped then, it goes on to the next in the same critical section.
//! - Waits are strictly FIFO, and no `try_` method passes a waiter.
//! - Guards and permits are released once, on drop, also on unwind. There is no poisoning.
//! - No user code but a key's `Eq` runs under an internal lock: hashes are computed before, and
//!   keys and wakers are cloned, woken and dropped outside. A panicking `Eq` does no damage.
//! - Every queue for a turn has a bound ([`DEFAULT_MAX_WAITERS`] unless the builder says
//!   otherwise), every retry a number of attempts and a deadline. Callers that join a flight or an
//!   attempt are as many as there are: each takes one place and is woken once.
//! - Builders refuse what cannot work with a [`ConfigError`] that names the field.
//! - Time comes from an injected [`Clock`](steadfast_clock::Clock), waits from tokio's timers, so
//!   paused tokio time works. Nothing runs in the background.
//! - Every primitive can be named; its `tracing` events carry the name, and the [`Registry`] lists
//!   it with its state.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `metrics` | named primitives report to the `metrics` facade, see the README; [`Registry::watch`] sets gauges and totals |
//! | `serde` | `Serialize` for snapshots; durations are in seconds |
//! | `spawn` | `spawn` of a [`Debounce`] or a [`Throttle`], keyed or not: it is driven in a task; `Detach`: shared work goes on when nobody waits for it |
//! | `test-util` | a harness that drops a future at each of its polls; replacements of what is in [`global`] |
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use steadfast_sync::{AsyncLock, LockError};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Arc::new(AsyncLock::builder().name("users").max_waiters(100).build()?);
//! let guard = users.lock("alice").await?;
//!
//! let late = users.lock_timeout("alice", Duration::from_millis(10)).await;
//! assert!(matches!(late, Err(LockError::Timeout { .. })));
//! assert!(users.try_lock("bob").is_ok());
//!
//! drop(guard);
//! assert!(users.locked_keys().is_empty());
//! # Ok(()) }
//! ```

/// The examples of the page about patterns, to be run with those of the crate. Not there in builds,
/// so that a packaged crate, which comes without the page, builds.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/patterns.md")]
struct Patterns;

#[doc(hidden)]
pub mod rt;

mod config;
mod error;
mod meters;
mod overdue;
mod registry;
mod slab;
mod timeout;
mod turn;
mod wait_queue;

mod flight;
mod key_table;
mod paced;

mod async_lock;
mod circuit_breaker;
mod debounce;
mod init_cell;
mod rate_limiter;
mod retry;
mod semaphore;
mod single_flight;
mod throttle;

pub mod global;
#[cfg(feature = "test-util")]
pub mod test_util;

pub use async_lock::{
    AsyncLock, AsyncLockBuilder, AsyncLockSnapshot, LockGuard, LockManyGuard, LockedKey,
    OwnedLockGuard,
};
pub use circuit_breaker::{
    AbandonPolicy, BreakerChange, BreakerChanges, BreakerPermit, BreakerReason, BreakerState,
    CHANGES_KEPT, CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerSnapshot, Verdict,
};
pub use config::{
    DEFAULT_GRACE, DEFAULT_LONG_HOLD, DEFAULT_LONG_WAIT, DEFAULT_MAX_WAITERS, MAX_DURATION,
    MAX_LISTED, MAX_LISTED_WAITERS,
};
pub use debounce::{Debounce, KeyedDebounce};
pub use error::{
    AcquireError, BreakerOpen, CallError, CloseError, Closed, ConfigError, DriveError, FlightError,
    InitError, LockError, MissedChanges, PaceError, RateError, ReadyError, RetryError,
    TryAcquireError, TryLockError,
};
pub use init_cell::{Cached, InitCell, InitCellBuilder, InitCellSnapshot, InitState};
#[cfg(feature = "spawn")]
pub use paced::Driven;
pub use paced::{
    DEFAULT_MAX_CONCURRENCY, Debouncing, Edges, KeyedPaced, Paced, PacedBuilder, PacedSnapshot,
    Pacing, Throttling,
};
pub use rate_limiter::{
    KeyedRateLimiter, KeyedRateLimiterBuilder, KeyedRateLimiterSnapshot, Quota, RateLimiter,
    RateLimiterBuilder, RateLimiterSnapshot,
};
pub use registry::{CallSite, PrimitiveState, QueuedCaller, Registry, Snapshot};
pub use retry::{Decision, Jitter, Retry, RetryBudget, RetryBuilder, RetrySnapshot};
pub use semaphore::{
    OwnedPermit, Permit, PermitHolder, Semaphore, SemaphoreBuilder, SemaphoreSnapshot,
};
pub use single_flight::{OnUnobserved, SingleFlight, SingleFlightBuilder, SingleFlightSnapshot};
pub use throttle::{KeyedThrottle, Throttle};
