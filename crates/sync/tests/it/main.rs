//! The public behaviour of every primitive.

mod async_lock;
mod cancellation;
mod circuit_breaker;
mod config;
mod init_cell;
mod rate_limiter;
mod retry;
mod semaphore;
mod stress;
mod support;
