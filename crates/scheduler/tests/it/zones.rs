//! Schedules where zones change their offsets.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;
use steadfast_scheduler::{Dialect, Dst, Fold, Gap, Spec};

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

#[test]
fn every_transition_of_every_zone_keeps_fires_monotone_and_restart_invariant() {
    let from: Timestamp = "1990-01-01T00:00:00Z".parse().unwrap();
    let to: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
    let specs: Vec<Spec> = SPECS.iter().map(|text| quartz(text)).collect();
    let mut transitions = 0;
    for name in jiff::tz::db().available() {
        let tz = TimeZone::get(name.as_str()).unwrap();
        for transition in tz.following(from).take_while(|t| t.timestamp() < to) {
            transitions += 1;
            let spec = &specs[transitions % specs.len()];
            let dst = Dst {
                gap: GAPS[transitions % 3],
                fold: FOLDS[transitions / 3 % 3],
            };
            let start = transition.timestamp() - SignedDuration::from_mins(200);
            check(spec, &tz, dst, start, 8, 500);
        }
    }
    assert!(transitions > 10_000, "only {transitions} transitions");
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
