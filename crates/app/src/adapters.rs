//! Where the crates meet: their ports, implemented on each other and on the database.

pub mod accounts;
pub mod hub;
pub mod leases;
pub mod privacy;
pub mod sqlite;
