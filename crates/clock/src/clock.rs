use std::{fmt::Debug, time::SystemTime};

use crate::Instant;

/// A source of wall and monotonic time.
///
/// Share it as `Arc<dyn Clock>`. Both methods are cheap, do not block and never fail.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, in UTC.
    ///
    /// It may jump forward or backward between two calls: compare it with stored dates, never
    /// measure a duration with it.
    fn wall(&self) -> SystemTime;

    /// A time that never goes back, for durations and deadlines.
    ///
    /// It is tokio's instant, so it can be given to `tokio::time::sleep_until` and stands still
    /// while tokio's time is paused.
    fn monotonic(&self) -> Instant;
}
