//! Leases as their users see them.

mod backend;
mod build;
mod chaos;
mod run;
mod support;
mod try_run;
