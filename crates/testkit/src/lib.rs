//! Private servers and faults for tests: Postgres and Redis in a temporary directory, which can be
//! killed, paused and restarted, a TCP proxy that misbehaves on request, child processes to signal,
//! small disks, and the time and the seed of tests that loop over faults.
//!
//! For: tests of adapters against the real thing, without a system-wide server, a container or a
//! fixed port. Not for: production, or data that should last; the servers run without `fsync`.
//!
//! # Guarantees
//!
//! - A server belongs to the value that started it. It is ended and its directory removed when
//!   the value is dropped, when the test panics, and when the test process dies by any signal,
//!   also while the server is paused or killed.
//! - A kill or a pause has reached the server and all its children when the call returns.
//! - Servers never run as root: started by root, they run as `postgres`, `redis` or `nobody`.
//! - A server that is not installed is an error that names the Debian package;
//!   [`server_or_skip`] turns it into a skipped test.
//! - A [`ChildProcess`] and a [`SmallDisk`] end the same way.
//! - A [`FaultProxy`] has taken on a fault when [`set`](FaultProxy::set) returns.
//!
//! # Example
//!
//! ```
//! use steadfast_testkit::{PrivateRedis, server_or_skip};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let Some(redis) = server_or_skip(PrivateRedis::start().await) else { return };
//! assert!(redis.url().starts_with("redis://127.0.0.1:"));
//! # }
//! ```

mod child_process;
mod error;
mod fault_proxy;
mod postgres;
mod redis;
mod server;
mod signal;
mod skip;
mod small_disk;
mod soak;

pub use child_process::ChildProcess;
pub use error::ServerError;
pub use fault_proxy::{Fault, FaultProxy};
pub use postgres::{PostgresBuilder, PrivatePostgres};
pub use redis::{PrivateRedis, RedisBuilder};
pub use skip::server_or_skip;
pub use small_disk::SmallDisk;
pub use soak::{Random, seed, soak_time};
