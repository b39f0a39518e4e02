use std::time::Duration;

use crate::{
    ConfigError,
    config::{check_count, check_duration},
};

/// How much is let through: a rate, and a burst that may come at once after a quiet time.
///
/// The interval per unit is kept in whole nanoseconds, rounded up: the effective rate is never
/// higher than asked for, and lower by less than 0.1 % up to a million units per second.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), steadfast_sync::ConfigError> {
/// use steadfast_sync::Quota;
///
/// let quota = Quota::per_second(100)?.with_burst(200)?;
/// assert_eq!(quota.burst(), 200);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval: u64,
    burst: u32,
}

impl Quota {
    /// `units` per `period`, as many of them at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `units` and `period`; [`ConfigError::TooLarge`] for a `period`
    /// above [`MAX_DURATION`](crate::MAX_DURATION), and for more `units` than the period has
    /// nanoseconds.
    pub fn new(units: u32, period: Duration) -> Result<Self, ConfigError> {
        check_count("units", units as usize)?;
        check_duration("period", period)?;
        let nanos = period.as_nanos();
        if u128::from(units) > nanos {
            let (field, max) = ("units", format!("{nanos}, one per nanosecond"));
            return Err(ConfigError::TooLarge { field, max });
        }
        let interval = nanos.div_ceil(u128::from(units));
        Ok(Self {
            interval: u64::try_from(interval).unwrap_or(u64::MAX),
            burst: units,
        })
    }

    /// `units` per second.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn per_second(units: u32) -> Result<Self, ConfigError> {
        Self::new(units, Duration::from_secs(1))
    }

    /// `units` per minute.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn per_minute(units: u32) -> Result<Self, ConfigError> {
        Self::new(units, Duration::from_secs(60))
    }

    /// The same rate with another burst.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `burst`; [`ConfigError::TooLarge`] if earning it would take
    /// longer than [`MAX_DURATION`](crate::MAX_DURATION).
    pub fn with_burst(self, burst: u32) -> Result<Self, ConfigError> {
        check_count("burst", burst as usize)?;
        let max = crate::MAX_DURATION.as_nanos() / u128::from(self.interval);
        if u128::from(burst) > max {
            let (field, max) = ("burst", format!("{max}, which take 100 years to earn"));
            return Err(ConfigError::TooLarge { field, max });
        }
        Ok(Self { burst, ..self })
    }

    /// How many units may come at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time in which one unit is earned.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    #[inline]
    pub(super) fn from_parts(interval: u64, burst: u32) -> Self {
        Self { interval, burst }
    }

    /// The cost of some units, in nanoseconds of earning.
    #[inline]
    pub(super) fn cost(&self, units: u64) -> u64 {
        self.interval.saturating_mul(units)
    }

    /// What may be spent ahead, in nanoseconds of earning.
    #[inline]
    pub(super) fn tolerance(&self) -> u64 {
        self.cost(u64::from(self.burst))
    }
}

/// The interval is given in seconds.
#[cfg(feature = "serde")]
impl serde::Serialize for Quota {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut quota = serializer.serialize_struct("Quota", 2)?;
        quota.serialize_field("interval", &self.interval().as_secs_f64())?;
        quota.serialize_field("burst", &self.burst)?;
        quota.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_rounded_down_never_up() {
        let quota = Quota::per_second(3).unwrap();
        assert_eq!(quota.interval(), Duration::from_nanos(333_333_334));
        assert_eq!(quota.burst(), 3);
    }

    #[test]
    fn longest_period_works_with_any_number_of_units() {
        for units in [1, 7, u32::MAX] {
            let quota = Quota::new(units, crate::MAX_DURATION).unwrap();
            assert_eq!(quota.burst(), units);
            assert!(quota.tolerance() < u64::MAX / 2);
        }
    }

    #[test]
    fn senseless_quotas_are_refused_by_field() {
        let second = Duration::from_secs(1);
        let field = |quota: Result<Quota, ConfigError>| quota.unwrap_err().field();
        assert_eq!(field(Quota::new(0, second)), "units");
        assert_eq!(field(Quota::new(1, Duration::ZERO)), "period");
        assert_eq!(field(Quota::new(1, Duration::MAX)), "period");
        assert_eq!(field(Quota::per_second(2_000_000_000)), "units");
        let quota = Quota::per_second(1).unwrap();
        assert_eq!(field(quota.with_burst(0)), "burst");
        assert_eq!(field(quota.with_burst(u32::MAX)), "burst");
    }
}
