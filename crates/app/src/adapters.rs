//! Where the crates meet: their ports, implemented on each other and on the database.

pub mod accounts;
pub mod hub;
pub mod leases;
pub mod outbound;
pub mod personal;
pub mod postgres;
pub mod privacy;
pub mod sqlite;
pub mod tombstones;

mod erasures;
mod expiry;
mod guarded_pool;
mod job_store;
mod migrations;
mod rows;

pub use expiry::Expiry;
pub use guarded_pool::{Guarded, GuardedPool, Judged, PoolSnapshot, refusal};
pub use job_store::GuardedJobStore;
pub use migrations::{ACCOUNT_MIGRATIONS, NOTIFICATION_MIGRATIONS, PRIVACY_MIGRATIONS};
