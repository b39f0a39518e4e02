//! Postgres: one pool, and a direct connection for what a pool would blur.

mod backend;
mod classify;
mod migrate;
mod options;
mod remedy;
mod server;

pub use backend::PostgresBackend;
pub use classify::classify_postgres;
pub use options::PostgresOptions;
