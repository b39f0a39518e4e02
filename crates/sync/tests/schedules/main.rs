//! Exploration of schedules: `cargo xtask test sync --schedules`. See `docs/verification.md`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

#[cfg(steadfast_loom)]
mod loom_models;
#[cfg(all(steadfast_shuttle, not(steadfast_loom)))]
mod shuttle_checks;
