//! Leases as their users see them.

mod backend;
mod build;
mod chaos;
mod elector;
mod example;
mod fence;
mod panics;
mod postgres;
mod redis;
mod run;
mod sqlite;
mod support;
mod try_run;
