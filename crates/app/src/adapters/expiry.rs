//! What is past its retention policy is not shown, whether or not a cleanup has deleted it yet.

use std::sync::Arc;

use jiff::Timestamp;
use steadfast_clock::Clock;
use steadfast_privacy::{PolicySnapshot, Records};

/// The cutoffs of the policies at this moment, as the statements of the stores want them; by
/// default nothing is hidden.
///
/// The one place that decides what is hidden: each store asks it for the cutoff of what it reads.
#[derive(Clone, Debug, Default)]
pub struct Expiry(Option<(PolicySnapshot, Arc<dyn Clock>)>);

impl Expiry {
    /// By `policies`, as they change.
    #[must_use]
    pub fn new(policies: PolicySnapshot, clock: Arc<dyn Clock>) -> Self {
        Self(Some((policies, clock)))
    }

    /// In microseconds since the epoch: records of earlier times are not to be shown.
    pub(super) fn cutoff(&self, records: Records) -> i64 {
        let cutoff = self.0.as_ref().and_then(|(policies, clock)| {
            let now = Timestamp::try_from(clock.wall()).unwrap_or(Timestamp::MAX);
            policies.cutoff(records, now)
        });
        cutoff.map_or(i64::MIN, Timestamp::as_microsecond)
    }
}
