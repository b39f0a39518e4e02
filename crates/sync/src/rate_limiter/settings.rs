use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};
use tracing::{trace, warn};

use super::line::{Caller, Look};
use crate::{
    RateError,
    meters::Meters,
    overdue::{Overdue, Thresholds},
    rt::atomic::{AtomicU64, Ordering},
};

/// After which time since it was made a limiter sees time stand still: 146 years, so that no sum
/// overflows.
const HORIZON: u64 = 1 << 62;

/// What a direct and a keyed limiter have in common: what they were built with, and what they
/// tell.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) origin: Instant,
    pub(super) meters: Meters,
    /// How many requests were refused for want of units or of room.
    pub(super) refused: AtomicU64,
}

impl Settings {
    /// The time in nanoseconds since the limiter was made.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        let elapsed = self
            .clock
            .monotonic()
            .saturating_duration_since(self.origin);
        let seconds = elapsed.as_secs().saturating_mul(1_000_000_000);
        seconds
            .saturating_add(u64::from(elapsed.subsec_nanos()))
            .min(HORIZON)
    }

    /// Counts a refusal, unless the request could never be fulfilled.
    pub(super) fn refuse(&self, units: u32, error: RateError) -> RateError {
        let name = &self.name;
        match &error {
            RateError::ZeroUnits | RateError::ExceedsBurst { .. } => return error,
            RateError::Denied { retry_after } => trace!(name, units, ?retry_after, "denied"),
            error => trace!(name, units, %error, "refused"),
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        error
    }

    /// Counts a wait that was too long and tells of it.
    pub(super) fn time_out(&self, units: u32, caller: Caller, error: RateError) -> RateError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        warn!(name = self.name, units, %caller, %error, "not let through");
        self.meters.count("timeout");
        error
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Tells of units that were taken at once.
    #[inline]
    pub(super) fn report_taken(&self, units: u32) {
        trace!(name = self.name, units, "let through");
    }

    /// Tells of a wait that ended with units.
    pub(super) fn report_wait(&self, units: u32, waited: Duration, overdue: Option<Overdue>) {
        match overdue {
            Some(overdue) => self.report(overdue),
            None => trace!(name = self.name, units, ?waited, "let through after a wait"),
        }
        self.meters.waited(waited);
    }

    /// Tells of what takes too long.
    pub(super) fn report(&self, overdue: Overdue) {
        overdue.report(&self.name, None, &self.meters);
    }

    /// Wakes whom a look found, and tells of it.
    pub(super) fn settle(&self, look: Look) {
        look.wakes.wake();
        if let Some(overdue) = look.found {
            self.report(overdue);
        }
    }
}
