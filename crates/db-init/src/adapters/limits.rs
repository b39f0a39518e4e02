//! What sqlx and the drivers can take; beyond it they panic or use up the memory.

use std::time::Duration;

use steadfast_sync::MAX_DURATION;

use crate::ConfigError;

/// The most connections of one pool, which has room for them from the first on.
pub(super) const MAX_CONNECTIONS: u32 = 65_536;

/// Refuses none, and more than a pool can hold.
pub(super) fn check_connections(field: &'static str, count: u32) -> Result<(), ConfigError> {
    match count {
        0 => Err(ConfigError::new(field, "must be at least 1")),
        1..=MAX_CONNECTIONS => Ok(()),
        _ => {
            let reason = format!("must be at most {MAX_CONNECTIONS}");
            Err(ConfigError::new(field, &reason))
        }
    }
}

/// Refuses zero, and what overflows an instant; `None` stands for never.
pub(super) fn check_durations(
    fields: &[(&'static str, Option<Duration>)],
) -> Result<(), ConfigError> {
    for &(field, value) in fields {
        let Some(value) = value else { continue };
        if value.is_zero() {
            return Err(ConfigError::new(field, "must be longer than zero"));
        }
        if value > MAX_DURATION {
            return Err(ConfigError::new(field, "must be at most 100 years"));
        }
    }
    Ok(())
}
