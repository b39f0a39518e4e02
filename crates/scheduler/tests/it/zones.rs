//! Schedules where zones change their offsets.

use std::collections::HashSet;

use jiff::{
    SignedDuration, Timestamp,
    tz::{Offset, TimeZone},
};
use proptest::prelude::*;
use steadfast_scheduler::{Dialect, Dst, Fold, Gap, Spec};

use crate::oracle::Oracle;

const ZONES: [&str; 10] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Tehran",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/St_Johns",
    "Antarctica/Troll",
    "UTC",
];

const SPECS: [&str; 9] = [
    "0 30 2 * * *",
    "0 0 0,1,2,3 * * *",
    "15 */20 * * * *",
    "0 30 * * * *",
    "0 15,45 0-3,23 * * *",
    "*/7 59 23 * * *",
    "0 0 12 1 * *",
    "0 30 1 * * SUN",
    "30 29 2 29 2,3 *",
];

const GAPS: [Gap; 3] = [Gap::RunAtTransition, Gap::Skip, Gap::ShiftByGap];
const FOLDS: [Fold; 3] = [Fold::First, Fold::Last, Fold::Both];

fn quartz(text: &str) -> Spec {
    Spec::parse(text, Dialect::Quartz6).unwrap()
}

fn fires(text: &str, zone: &str, from: &str, to: &str, dst: Dst) -> Vec<String> {
    let tz = TimeZone::get(zone).unwrap();
    let to: Timestamp = to.parse().unwrap();
    Spec::parse(text, Dialect::Posix5)
        .unwrap()
        .upcoming_with(from.parse().unwrap(), &tz, dst)
        .take_while(|fire| *fire <= to)
        .map(|fire| fire.to_string())
        .collect()
}

/// Walks from `start` and starts anew from instants in between: the fires must be the same.
fn check(spec: &Spec, tz: &TimeZone, dst: Dst, start: Timestamp, steps: usize, cut: i64) {
    let mut after = start;
    for _ in 0..steps {
        let Some(next) = spec.next_after_with(after, tz, dst) else {
            return;
        };
        assert!(next > after, "{spec} {dst:?} went from {after} to {next}");
        let length = next.as_second() - after.as_second();
        let between = after + SignedDuration::from_secs(length * cut / 1_000);
        for restart in [between, next - SignedDuration::from_millis(1)] {
            assert_eq!(
                spec.next_after_with(restart, tz, dst),
                Some(next),
                "{spec} {dst:?} in {tz:?}: after {after}, but from {restart}"
            );
        }
        after = next;
    }
}

/// Every zone of the database whose transitions no other zone before it has, with its transitions
/// until 2040, when all rules have repeated themselves.
fn zones() -> Vec<(TimeZone, Vec<(Timestamp, Offset)>)> {
    let end: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
    let mut seen = HashSet::new();
    let mut zones = Vec::new();
    for name in jiff::tz::db().available() {
        let tz = TimeZone::get(name.as_str()).unwrap();
        let transitions = tz
            .following(Timestamp::MIN)
            .map(|t| (t.timestamp(), t.offset()));
        let transitions: Vec<_> = transitions.take_while(|(at, _)| *at < end).collect();
        if seen.insert(transitions.clone()) {
            zones.push((tz, transitions));
        }
    }
    zones
}

#[test]
fn every_transition_of_every_zone_keeps_fires_monotone_and_restart_invariant() {
    let specs: Vec<Spec> = SPECS.iter().map(|text| quartz(text)).collect();
    let mut count = 0;
    for (tz, transitions) in zones() {
        for (at, _) in transitions {
            count += 1;
            let spec = &specs[count % specs.len()];
            let dst = Dst {
                gap: GAPS[count % 3],
                fold: FOLDS[count / 3 % 3],
            };
            check(spec, &tz, dst, at - SignedDuration::from_mins(200), 8, 500);
        }
    }
    assert!(count > 20_000, "only {count} transitions");
}

const PARTS: usize = 12;

/// In parts, so that a slow machine gets through each in time.
macro_rules! every_transition_of_the_zones_has_the_fires_of_the_oracle {
    ($($part:ident: $number:literal),*) => {
        mod every_transition_of_the_zones_has_the_fires_of_the_oracle {
            $(#[test]
            fn $part() {
                super::compare_with_oracle($number);
            })*
        }
    };
}

every_transition_of_the_zones_has_the_fires_of_the_oracle! {
    part_0: 0, part_1: 1, part_2: 2, part_3: 3, part_4: 4, part_5: 5, part_6: 6, part_7: 7,
    part_8: 8, part_9: 9, part_10: 10, part_11: 11
}

/// A job in the middle of each gap and fold, and at some of them one that fires more often.
fn compare_with_oracle(part: usize) {
    const WINDOW: SignedDuration = SignedDuration::from_hours(3);
    let others = [
        "0 0,15,30,45 0,1,2,3,12,23 * * *",
        "15 */20 * * * *",
        "0 30 * * * *",
        "30 59 1,2,23 * * SUN",
        "0 0 0,3 * * ?",
    ];
    let (mut count, mut fires) = (0, 0);
    for (tz, transitions) in zones().into_iter().skip(part).step_by(PARTS) {
        let mut before = tz.to_offset(Timestamp::MIN);
        for (at, offset) in transitions {
            let jump = offset.seconds() - std::mem::replace(&mut before, offset).seconds();
            if jump == 0 {
                continue;
            }
            count += 1;
            let middle = at - SignedDuration::from_secs(i64::from(jump / 2));
            let middle = offset.to_datetime(middle);
            let (second, minute, hour) = (middle.second(), middle.minute(), middle.hour());
            let middle = format!("{second} {minute} {hour} * * *");
            let other = (count % 3 == 0).then(|| (others[count / 3 % others.len()], 4));
            for (text, shift) in std::iter::once((middle.as_str(), 0)).chain(other) {
                let dst = Dst {
                    gap: GAPS[(count + shift) % 3],
                    fold: FOLDS[(count + shift) / 3 % 3],
                };
                let (from, until) = (at - WINDOW, at + WINDOW);
                let upcoming = quartz(text).upcoming_with(from, &tz, dst);
                let found: Vec<Timestamp> = upcoming.take_while(|fire| *fire <= until).collect();
                let oracle = Oracle::new(text, Dialect::Quartz6);
                let expected = oracle.fires(from, until, &tz, dst);
                assert_eq!(found, expected, "{text} in {tz:?} around {at} with {dst:?}");
                fires += found.len();
            }
        }
    }
    println!("{count} transitions, {fires} fires");
    assert!(count > 20_000 / PARTS / 2, "only {count} transitions");
    assert!(fires > count, "only {fires} fires");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn fires_are_monotone_and_restart_invariant_anywhere(
        zone in prop::sample::select(&ZONES[..]),
        text in prop::sample::select(&SPECS[..]),
        gap in prop::sample::select(&GAPS[..]),
        fold in prop::sample::select(&FOLDS[..]),
        start in -2_000_000_000_i64..4_000_000_000,
        cut in 0_i64..1_000,
    ) {
        let tz = TimeZone::get(zone).unwrap();
        let start = Timestamp::from_second(start).unwrap();
        check(&quartz(text), &tz, Dst { gap, fold }, start, 6, cut);
    }
}

#[test]
fn gap_options_choose_transition_nothing_or_later() {
    let around = |gap| {
        let dst = Dst {
            gap,
            fold: Fold::First,
        };
        fires(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
            dst,
        )
    };
    assert_eq!(
        around(Gap::RunAtTransition),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(around(Gap::Skip), ["2026-03-30T00:30:00Z"]);
    assert_eq!(
        around(Gap::ShiftByGap),
        ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
}

#[test]
fn several_wall_times_in_a_gap_become_one_fire() {
    let fires = fires(
        "10,20,30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        Dst::default(),
    );
    assert_eq!(fires, ["2026-03-29T01:00:00Z"]);
}

#[test]
fn fold_options_choose_first_last_or_both_passes() {
    let around = |fold| {
        let dst = Dst {
            gap: Gap::Skip,
            fold,
        };
        fires(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            dst,
        )
    };
    assert_eq!(around(Fold::First), ["2026-10-25T00:30:00Z"]);
    assert_eq!(around(Fold::Last), ["2026-10-25T01:30:00Z"]);
    assert_eq!(
        around(Fold::Both),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]
    );
}

#[test]
fn a_skipped_day_is_not_caught_up_unless_shifted() {
    let around = |gap| {
        let dst = Dst {
            gap,
            fold: Fold::First,
        };
        fires(
            "0 9 30 12 *",
            "Pacific/Apia",
            "2011-12-28T00:00:00Z",
            "2012-01-05T00:00:00Z",
            dst,
        )
    };
    assert!(around(Gap::RunAtTransition).is_empty());
    assert!(around(Gap::Skip).is_empty());
    assert_eq!(around(Gap::ShiftByGap), ["2011-12-30T19:00:00Z"]);
}

#[test]
fn a_schedule_past_795_days_is_found() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let next = quartz("0 30 2 29 2 ?").next_after("2024-03-01T00:00:00Z".parse().unwrap(), &berlin);
    assert_eq!(next, Some("2028-02-29T01:30:00Z".parse().unwrap()));
}

#[test]
fn time_ends_without_a_panic() {
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    for text in SPECS {
        assert_eq!(quartz(text).next_after(Timestamp::MAX, &tokyo), None);
        assert!(quartz(text).next_after(Timestamp::MIN, &tokyo).is_some());
    }
}
