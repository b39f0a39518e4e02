use std::time::Duration;

use steadfast_clock::Instant;

use super::Quota;
use crate::RateError;

/// The generic cell rate algorithm (ITU-T I.371): all that is remembered is the *theoretical
/// arrival time*, the moment at which everything spent so far will have been earned.
///
/// Times are nanoseconds since the limiter was made. A time of arrival that is not in the future
/// is the same as none.
///
/// Returns the new arrival time, or how long to wait at least.
pub(super) fn spend(quota: &Quota, arrival: u64, now: u64, units: u64) -> Result<u64, u64> {
    let spent = arrival.max(now).saturating_add(quota.cost(units));
    let earliest = spent.saturating_sub(quota.tolerance());
    if earliest <= now {
        Ok(spent)
    } else {
        Err(earliest - now)
    }
}

/// How long it takes until some units are there, when others that wait come first.
pub(super) fn foresee(quota: &Quota, arrival: u64, now: u64, ahead: u64, units: u32) -> Duration {
    let spent = arrival
        .max(now)
        .saturating_add(quota.cost(ahead.saturating_add(units.into())));
    let earliest = spent.saturating_sub(quota.tolerance());
    Duration::from_nanos(earliest.saturating_sub(now))
}

/// A moment as nanoseconds since the limiter was made; 584 years of them fit.
pub(super) fn nanos_since(origin: Instant, now: Instant) -> u64 {
    let elapsed = now.saturating_duration_since(origin);
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Refuses what could never be let through.
pub(super) fn check_units(quota: &Quota, units: u32) -> Result<(), RateError> {
    let burst = quota.burst();
    match units {
        0 => Err(RateError::ZeroUnits),
        requested if requested > burst => Err(RateError::ExceedsBurst { requested, burst }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_spent_at_once_and_earned_back_unit_by_unit() {
        let quota = Quota::per_second(10).unwrap().with_burst(3).unwrap();
        let unit = quota.cost(1);
        let spent = spend(&quota, 0, 0, 3).unwrap();
        assert_eq!(spend(&quota, spent, 0, 1), Err(unit));
        assert_eq!(spend(&quota, spent, unit - 1, 1), Err(1));
        assert_eq!(spend(&quota, spent, unit, 1), Ok(spent + unit));
        assert_eq!(spend(&quota, spent, unit, 2), Err(unit));
    }

    #[test]
    fn long_quiet_time_earns_no_more_than_the_burst() {
        let quota = Quota::per_second(10).unwrap().with_burst(3).unwrap();
        let later = quota.cost(1_000_000);
        assert!(spend(&quota, 0, later, 4).is_err());
        let spent = spend(&quota, 0, later, 3).unwrap();
        assert!(spend(&quota, spent, later, 1).is_err());
    }
}
