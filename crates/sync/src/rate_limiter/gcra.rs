use std::time::Duration;

use super::Quota;

/// The generic cell rate algorithm (ITU-T I.371): all that is remembered is the *theoretical
/// arrival time*, the moment at which everything spent so far will have been earned.
///
/// Times are nanoseconds. A time of arrival that is not in the future is the same as none.
///
/// Returns the new arrival time, or how long to wait at least.
#[inline]
pub(super) fn spend(quota: &Quota, arrival: u64, now: u64, units: u32) -> Result<u64, Duration> {
    let spent = arrival.max(now).saturating_add(quota.cost(units.into()));
    let earliest = spent.saturating_sub(quota.tolerance());
    if earliest <= now {
        Ok(spent)
    } else {
        Err(Duration::from_nanos(earliest - now))
    }
}

/// How long it takes until some units are there, with those that others wait for, when everything
/// spent is `ahead` of the time.
pub(super) fn foresee(quota: &Quota, ahead: u64, units: u64) -> Duration {
    let spent = ahead.saturating_add(quota.cost(units));
    Duration::from_nanos(spent.saturating_sub(quota.tolerance()))
}

/// How many units are there.
pub(super) fn level(quota: &Quota, ahead: u64) -> u32 {
    let level = quota.tolerance().saturating_sub(ahead) / quota.cost(1);
    u32::try_from(level).unwrap_or(u32::MAX)
}

/// By how much what is spent is ahead of the time under a new quota.
///
/// The level stays what it is, as a number of units and fractions of them, but for what is above
/// the new burst. So a higher burst is earned before it can be spent.
pub(super) fn carry_over(old: &Quota, new: &Quota, ahead: u64) -> u64 {
    let level = u128::from(old.tolerance().saturating_sub(ahead));
    let level = level * u128::from(new.cost(1)) / u128::from(old.cost(1));
    let full = new.tolerance();
    full - u64::try_from(level).map_or(full, |level| level.min(full))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(burst: u32) -> Quota {
        Quota::per_second(10).unwrap().with_burst(burst).unwrap()
    }

    #[test]
    fn burst_is_spent_at_once_and_earned_back_unit_by_unit() {
        let quota = quota(3);
        let unit = quota.cost(1);
        let wait = |nanos| Err(Duration::from_nanos(nanos));
        let spent = spend(&quota, 0, 0, 3).unwrap();
        assert_eq!(spend(&quota, spent, 0, 1), wait(unit));
        assert_eq!(spend(&quota, spent, unit - 1, 1), wait(1));
        assert_eq!(spend(&quota, spent, unit, 1), Ok(spent + unit));
        assert_eq!(spend(&quota, spent, unit, 2), wait(unit));
    }

    #[test]
    fn long_quiet_time_earns_no_more_than_the_burst() {
        let quota = quota(3);
        let later = quota.cost(1_000_000);
        assert!(spend(&quota, 0, later, 4).is_err());
        let spent = spend(&quota, 0, later, 3).unwrap();
        assert!(spend(&quota, spent, later, 1).is_err());
    }

    #[test]
    fn level_survives_a_change_of_the_quota() {
        let (old, new) = (quota(10), Quota::per_minute(6).unwrap());
        for (units, left) in [(0, 6), (4, 6), (5, 5), (10, 0)] {
            let ahead = carry_over(&old, &new, old.cost(units));
            assert_eq!(level(&new, ahead), left, "after {units} were spent");
        }
        let raised = carry_over(&new, &old, 0);
        assert_eq!(level(&old, raised), 6, "a higher burst is earned first");
    }

    /// Any quota that can be built, the extremes more often.
    fn any_quota() -> impl Strategy<Value = Quota> {
        let units = prop_oneof![Just(1), Just(u32::MAX), 1_u32..];
        let most = u64::try_from(crate::MAX_DURATION.as_nanos()).unwrap();
        let nanos = prop_oneof![Just(1), Just(1_000_000_000), Just(most), 1..=most];
        let burst = prop_oneof![Just(1), Just(u32::MAX), 1_u32..];
        (units, nanos, burst).prop_filter_map("refused", |(units, nanos, burst)| {
            let quota = Quota::new(units, Duration::from_nanos(nanos)).ok()?;
            Some(quota.with_burst(burst).unwrap_or(quota))
        })
    }

    proptest! {
        #[test]
        fn extremes_neither_overflow_nor_let_too_much_through(
            old in any_quota(),
            new in any_quota(),
            now in prop_oneof![Just(0), Just(1_u64 << 62), 0..1_u64 << 62],
            units in prop_oneof![Just(1), Just(u32::MAX), 1_u32..]
        ) {
            let spent = spend(&old, 0, now, units);
            prop_assert_eq!(spent.is_ok(), units <= old.burst());
            let ahead = spent.map_or(0, |spent| spent - now);
            prop_assert_eq!(level(&old, ahead), if ahead == 0 { old.burst() } else { old.burst() - units });
            prop_assert_eq!(carry_over(&old, &old, ahead), ahead);
            let carried = carry_over(&old, &new, ahead);
            prop_assert!(level(&new, carried) <= level(&old, ahead).min(new.burst()));
            prop_assert!(level(&new, carried) + 1 >= level(&old, ahead).min(new.burst()));
            prop_assert!(foresee(&new, carried, u64::MAX) >= foresee(&new, carried, 1));
        }
    }
}
