//! One file for the errors of each primitive.

mod breaker;
mod config;
mod flight;
mod lock;
mod paced;
mod rate;
mod retry;
mod semaphore;

pub use self::{
    breaker::{BreakerOpen, CallError, MissedChanges, ReadyError},
    config::ConfigError,
    flight::{FlightError, InitError},
    lock::{LockError, TryLockError},
    paced::{CloseError, Closed, DriveError, PaceError},
    rate::RateError,
    retry::RetryError,
    semaphore::{AcquireError, TryAcquireError},
};
