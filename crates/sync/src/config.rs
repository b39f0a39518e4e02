use std::time::Duration;

use crate::ConfigError;

/// How many callers may wait in one queue unless the builder says otherwise.
pub const DEFAULT_MAX_WAITERS: usize = 65_536;

/// From how long on a wait is reported unless the builder says otherwise.
pub const DEFAULT_LONG_WAIT: Duration = Duration::from_secs(10);

/// From how long on a hold is reported unless the builder says otherwise.
pub const DEFAULT_LONG_HOLD: Duration = Duration::from_secs(30);

/// From how long on a watch reports a grant that its waiter has not claimed, unless the builder says
/// otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(1);

/// How many keys or holders a snapshot lists.
pub const MAX_LISTED: usize = 64;

/// How many waiters of a queue a snapshot lists, from its head.
pub const MAX_LISTED_WAITERS: usize = 8;

/// How many reports one look makes of a primitive, or of one shard of it; the others come with the
/// next look.
pub(crate) const REPORTS_A_LOOK: usize = 64;

/// The longest duration that a builder accepts: a hundred years of 365 days.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Refuses zero and what could overflow an instant.
pub(crate) fn check_duration(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::Zero { field });
    }
    if value > MAX_DURATION {
        let max = "100 years".to_owned();
        return Err(ConfigError::TooLarge { field, max });
    }
    Ok(())
}

/// Refuses zero.
pub(crate) fn check_count(field: &'static str, value: usize) -> Result<(), ConfigError> {
    if value == 0 {
        return Err(ConfigError::Zero { field });
    }
    Ok(())
}
