//! Ids and times, as every store can hold them.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use steadfast_clock::Clock;
use uuid::{ContextV7, Uuid};

/// Where ids come from, given the time.
pub(crate) type NewId = Arc<dyn Fn(Timestamp) -> Uuid + Send + Sync>;

/// UUIDv7s of the given times, in order also within a millisecond.
pub(crate) fn random_ids() -> NewId {
    let context = Mutex::new(ContextV7::new());
    Arc::new(move |at| {
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        let nanos = at.subsec_nanosecond().unsigned_abs();
        Uuid::new_v7(uuid::Timestamp::from_unix(&context, seconds, nanos))
    })
}

/// The time of day, cut to what every store can hold.
pub(crate) fn stored_now(clock: &dyn Clock) -> Timestamp {
    let now = Timestamp::try_from(clock.wall()).unwrap_or(Timestamp::MAX);
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
