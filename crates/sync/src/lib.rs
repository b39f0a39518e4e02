//! Race-free async primitives: keyed lock, semaphore, rate limiter, circuit breaker, retry,
//! initialisation cell.

mod async_lock;
mod circuit_breaker;
mod config;
mod error;
mod init_cell;
mod key_table;
mod rate_limiter;
mod retry;
mod semaphore;
mod slab;
#[cfg(feature = "test-util")]
pub mod test_util;
mod timeout;
mod wait_queue;

pub use async_lock::{
    AsyncLock, AsyncLockBuilder, LockGuard, LockManyGuard, LockedKey, OwnedLockGuard,
};
pub use circuit_breaker::{
    AbandonPolicy, BreakerPermit, BreakerState, CircuitBreaker, CircuitBreakerBuilder, Verdict,
};
pub use config::{DEFAULT_MAX_WAITERS, MAX_DURATION};
pub use error::{
    AcquireError, BreakerOpen, CallError, ConfigError, InitError, LockError, RateError, RetryError,
    TryAcquireError, TryLockError,
};
pub use init_cell::{Cached, InitCell, InitState};
pub use rate_limiter::{
    KeyedRateLimiter, KeyedRateLimiterBuilder, Quota, RateLimiter, RateLimiterBuilder,
};
pub use retry::{Decision, Retry, RetryBudget, RetryBuilder};
pub use semaphore::{OwnedPermit, Permit, Semaphore, SemaphoreBuilder};
