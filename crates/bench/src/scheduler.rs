//! `scheduler`: `steadfast-scheduler` against cron, croner and tokio-cron-scheduler.
//!
//! Memory, lateness and idle time are those of a process: each contender gets one of its own.

mod changes;
mod child;
mod databases;
mod engine;
mod next_fire;

use std::error::Error;

use crate::{
    Cases,
    Measure::{Once, Times},
};

pub(crate) const CASES: Cases = &[
    ("next fire, UTC", Times(next_fire::utc)),
    ("next fire, Europe/Berlin", Times(next_fire::zoned)),
    ("insert a job", Times(changes::insert)),
    ("replace a job", Times(changes::replace)),
    ("remove a job", Times(changes::remove)),
    ("memory a job", Once(engine::memory)),
    ("due in the same second", Once(engine::burst)),
    ("10 000 fires a second for 10 s", Once(engine::sustained)),
    ("idle for 20 s", Once(engine::idle)),
    (
        "two nodes on Postgres, end to end",
        Once(databases::postgres),
    ),
    ("SQLite file", Once(databases::sqlite)),
];

/// Plays the part of a contender in a process of its own, which says what it measured.
pub(crate) fn child(role: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    child::play(role, arguments)
}
