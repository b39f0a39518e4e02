//! Leases as their users see them.

mod backend;
mod build;
mod chaos;
mod postgres;
mod run;
mod sqlite;
mod support;
mod try_run;
