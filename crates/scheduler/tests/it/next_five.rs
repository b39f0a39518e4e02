//! More than 300 schedules, each with its next five fires, as the slow oracle finds them.

use jiff::{Timestamp, tz::TimeZone};
use steadfast_scheduler::{Dialect, Dst, Fold, Gap, Spec};

use crate::oracle::Oracle;

/// A zone, a start and expressions: those of six fields are `Dialect::Quartz6`.
type Group = (&'static str, &'static str, &'static [&'static str]);

/// What expressions mean, far from any transition.
#[rustfmt::skip]
const PLAIN: &[Group] = &[
    ("UTC", "2026-01-01T00:00:00Z", &[
        "* * * * *", "*/7 * * * *", "7-59/13 * * * *", "5/20 * * * *", "0,30 * * * *", "59 * * * *",
        "0 */5 * * *", "0 9-17/4 * * *", "30 8,12,17 * * *", "*/25 3 * * *", "0 0 * * *",
        "0-5,58-59 23 * * *", "15,45 6-8 * * *", "5,5,5 5 * * *", "0 22/1 * * *",
    ]),
    ("UTC", "2026-01-30T23:59:59Z", &[
        "0 0 1 * *", "0 12 31 * *", "0 12 30 * *", "0 12 29 * *", "0 12 28-31 * *", "0 0 31 1-7/2 *",
        "59 23 31 12 *", "0 6 * JAN,MAR *", "0 6 1 APR-JUN/2 *", "0 6 15 */5 *", "0 6 1 2/3 *",
        "0 6 */10 * *", "0 6 5/10 * *", "0 0 1 1 *", "30 4 1,15 * *",
    ]),
    ("UTC", "2026-03-01T12:00:00Z", &[
        "0 9 * * 0", "0 9 * * 7", "0 9 * * SUN", "0 9 * * 1-5", "0 9 * * MON-FRI", "0 9 * * 5-7",
        "0 9 * * FRI-SUN", "0 9 * * 0-2", "0 9 * * SUN-TUE", "0 9 * * */2", "0 9 * * */3",
        "0 9 * * 1-5/2", "0 9 * * 2/2", "0 9 * * 7/2", "0 9 * * 0,3,6", "0 9 * * 0-7",
        "0 9 * * SAT,1", "0 9 * * 6-7/1",
    ]),
    // A day that matches either field fires, unless one begins with a star.
    ("UTC", "2026-02-01T00:00:00Z", &[
        "0 9 13 * 5", "0 9 1,15 * MON", "0 9 */2 * 1", "0 9 1-7 * */7", "0 9 31 2 MON",
        "0 9 1-31 * 3", "0 9 13 2 *", "0 9 * * 3", "0 9 30 2 FRI", "0 9 1-7 1 1", "0 9 28 2 6,0",
        "0 9 15/5 * 2", "* * 13 * 5", "0 9 *,5 * 2", "0 9 5,* * 2",
    ]),
    // Leap years, of which 2100 is none and 2000 is one.
    ("UTC", "2095-12-31T00:00:00Z", &[
        "0 0 29 2 *", "0 0 28 2 *", "0 0 1 3 *", "0 0 28,29 2 *", "0 0 29 2/6 *",
    ]),
    ("UTC", "1995-12-31T00:00:00Z", &["0 0 29 2 *", "0 0 0 29 2 TUE", "0 0 0 29 2 ?"]),
    ("UTC", "2098-06-01T00:00:00Z", &["@monthly", "@yearly", "0 12 31 12 *", "30 6 29-31 1-3 *"]),
    // Seconds, and weekdays that begin with Sunday as 1.
    ("UTC", "2026-01-01T00:00:00.5Z", &[
        "* * * * * *", "*/7 * * * * *", "0 * * * * ?", "30 0 9 * * ?", "15,45 */10 * * * *",
        "0 0 9 ? * 1", "0 0 9 ? * 1-5", "0 0 9 ? * MON-FRI", "0 0 9 ? * 7", "0 0 9 ? * 2/2",
        "0 0 9 13 * ?", "0 0 9 13 * 6", "0 0 9 1-7 * MON", "10-50/20 59 23 * * *", "0 0 0 31 * ?",
        "5/11 30 12 * * *", "0 0 9 ? JAN-MAR/2 SUN,SAT", "59 59 23 31 12 ?",
    ]),
    ("Asia/Kathmandu", "2026-03-01T00:00:00Z", &[
        "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "0 9 * * *",
        "30 * * * *", "0 0 9 * * ?",
    ]),
    ("Pacific/Kiritimati", "2026-03-01T00:00:00Z", &[
        "0 0 * * *", "0 0 1 * *", "59 23 * * SUN", "@every 90s", "@every 1h30m", "@every 1d",
    ]),
    ("Pacific/Marquesas", "1969-12-31T23:00:00.75Z", &[
        "@every 1s", "@every 7m", "@every 1d2h3m4s", "30 14 * * *", "*/30 * * * *",
    ]),
];

/// Transitions: each expression is tried with every option for gaps and for folds.
#[rustfmt::skip]
const TRANSITIONS: &[Group] = &[
    // One hour, at two and at three, forward and back.
    ("Europe/Berlin", "2026-03-28T12:00:00Z", &[
        "30 2 * * *", "15,45 2 * * *", "0 3 * * *", "0 2,3 * * *", "59 1 * * *", "*/20 2 * * *",
        "30 2 29 3 *", "30 2 * * SUN", "0 30 2 * * ?", "59 59 1,2 * * *",
    ]),
    ("Europe/Berlin", "2026-10-24T12:00:00Z", &[
        "30 2 * * *", "15,45 2 * * *", "0 2 * * *", "0 3 * * *", "0 1-3 * * *", "*/30 2 * * *",
        "30 2 25 10 *", "0 30 2 * * ?", "30 * * * *", "0 0/30 2 * * ?",
    ]),
    ("Europe/Berlin", "2026-10-25T00:30:00Z", &["30 2 * * *", "45 2 * * *", "0 2 * * *"]),
    ("Europe/Berlin", "2026-10-25T01:10:00Z", &["30 2 * * *", "5 2 * * *", "5,15 2 * * *"]),
    ("America/New_York", "2026-03-07T12:00:00Z", &["30 2 * * *", "0 1-3 * * *", "0 */2 * * *"]),
    ("America/New_York", "2026-10-31T12:00:00Z", &["15 1 * * *", "0 1,2 * * *", "*/30 1 * * *"]),
    // The transition itself.
    ("America/New_York", "2026-03-08T06:59:59Z", &["0 2 * * *", "0 3 * * *", "59 2 * * *"]),
    ("America/New_York", "2026-03-08T07:00:00Z", &["0 2 * * *", "0 3 * * *", "30 2,3 * * *"]),
    ("America/New_York", "2026-11-01T06:00:00Z", &["0 1 * * *", "59 1 * * *", "0 2 * * *"]),
    // Summer time is the standard, winter time is the exception.
    ("Europe/Dublin", "2026-03-28T12:00:00Z", &["30 1 * * *", "0 2 * * *", "45 1-2 * * *"]),
    ("Europe/Dublin", "2026-10-24T12:00:00Z", &["30 1 * * *", "0 1 * * *", "45 0-2 * * *"]),
    ("Europe/Dublin", "1971-10-30T12:00:00Z", &["30 2 * * *", "0 3 * * *"]),
    ("Africa/Casablanca", "2026-02-14T12:00:00Z", &["30 2 * * *", "0 3 * * *", "*/20 2 * * *"]),
    ("Africa/Casablanca", "2026-03-21T12:00:00Z", &["30 2 * * *", "0 3 * * *", "0 2,3 * * *"]),
    // Half an hour.
    ("Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["15 2 * * *", "0,30 2 * * *", "59 1 * * *"]),
    ("Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["40 1 * * *", "30 1 * * *", "0 2 * * *"]),
    ("Asia/Pyongyang", "2018-05-04T00:00:00Z", &["45 23 * * *", "30 23 * * *", "0 0 * * *"]),
    ("America/Caracas", "2007-12-08T12:00:00Z", &["45 2 * * *", "0 3 * * *", "30 2 * * *"]),
    ("Asia/Colombo", "1996-10-25T00:00:00Z", &["10 0 * * *", "0 0 * * *"]),
    // A quarter, twenty and forty minutes.
    ("Asia/Kathmandu", "1985-12-30T12:00:00Z", &["5 0 * * *", "0 0 1 1 *", "15 0 * * *"]),
    ("Pacific/Chatham", "2026-04-03T12:00:00Z", &["15 3 * * *", "50 2 * * *", "45 2 * * *"]),
    ("Pacific/Chatham", "2026-09-25T12:00:00Z", &["15 3 * * *", "50 2 * * *", "45 3 * * *"]),
    ("Asia/Singapore", "1932-12-31T00:00:00Z", &["10 0 * * *", "15 0 * * *", "20 0 * * *"]),
    // Two hours, three hours, seven hours.
    ("Antarctica/Troll", "2026-03-28T12:00:00Z", &["30 1,2 * * *", "0 2 * * *", "0 1-3 * * *"]),
    ("Antarctica/Troll", "2026-10-24T12:00:00Z", &["30 1,2 * * *", "0 2 * * *", "0 3 * * *"]),
    ("Europe/London", "1947-04-12T12:00:00Z", &["30 2 * * *", "30 1 * * *"]),
    ("Antarctica/Casey", "2009-10-17T00:00:00Z", &["30 3 * * *", "0 2-5 * * *", "0 2 * * *"]),
    ("Antarctica/Casey", "2010-03-03T12:00:00Z", &["30 0 * * *", "0 23 * * *", "59 1 * * *"]),
    ("Antarctica/Vostok", "1994-10-30T12:00:00Z", &["30 3 * * *", "0 7 * * *", "0 0-8 * * *"]),
    ("Antarctica/Vostok", "1994-01-30T12:00:00Z", &["30 20 * * *", "0 17-23 * * *"]),
    ("Antarctica/Davis", "2009-10-16T12:00:00Z", &["30 1 * * *", "0 0 * * *"]),
    // Whole days that never were, and one that was twice.
    ("Pacific/Apia", "2011-12-28T12:00:00Z", &[
        "0 9 * * *", "0 9 30 12 *", "0 0 * * *", "0 0 31 12 *", "0 9 * * FRI", "59 23 * * *",
    ]),
    ("Pacific/Fakaofo", "2011-12-28T12:00:00Z", &["0 9 * * *", "0 12 30 12 *"]),
    ("Pacific/Kwajalein", "1993-08-19T12:00:00Z", &["0 9 * * *", "30 0 21 8 *"]),
    ("Pacific/Kiritimati", "1994-12-30T00:00:00Z", &["0 9 * * *", "0 0 1 1 *", "0 9 31 12 *"]),
    ("America/Sitka", "1867-10-16T00:00:00Z", &["0 9 * * *", "30 14,15 * * *", "0 0 18 10 *"]),
    ("Asia/Manila", "1844-12-29T00:00:00Z", &["0 9 * * *", "0 9 31 12 *"]),
    // At midnight.
    ("America/Sao_Paulo", "2018-11-03T00:00:00Z", &["0 0 * * *", "30 0 4 11 *", "0 1 * * *"]),
    ("America/Sao_Paulo", "2018-02-16T12:00:00Z", &["30 23 * * *", "0 0 * * *", "0 23 17 2 *"]),
    ("Africa/Cairo", "2024-04-24T12:00:00Z", &["0 0 * * *", "30 0 * * FRI", "59 23 * * *"]),
    ("Africa/Cairo", "2024-10-30T12:00:00Z", &["0 0 * * *", "30 23 * * *", "30 23 31 10 *"]),
    ("Asia/Beirut", "2026-03-27T12:00:00Z", &["0 0 * * *", "30 0 29 3 *", "@daily"]),
    ("Asia/Beirut", "2026-10-23T12:00:00Z", &["0 0 * * *", "30 23 * * *", "@weekly"]),
    ("Asia/Tehran", "2022-03-20T12:00:00Z", &["0 0 * * *", "30 0 * * *", "@monthly"]),
    ("America/Havana", "2026-03-07T12:00:00Z", &["0 0 * * *", "30 0 * * *", "0 0 8 3 *"]),
    ("America/Havana", "2026-10-31T12:00:00Z", &["0 0 * * *", "30 0 * * *", "0 0 1 11 *"]),
    ("America/Santiago", "2026-09-05T00:00:00Z", &["0 0 * * *", "30 0 * * *"]),
    // Mean times, of hours, minutes and seconds.
    ("Europe/Paris", "1911-03-09T12:00:00Z", &["55 23 * * *", "0 0 * * *", "30 51 23 * * ?"]),
    ("Africa/Monrovia", "1972-01-06T00:00:00Z", &["10 0 * * *", "44 0 * * *", "45 0 * * *"]),
    ("America/New_York", "1883-11-17T12:00:00Z", &["0 12 * * *", "58 11 * * *", "57 56 11 * * ?"]),
    ("Asia/Kolkata", "1941-09-29T12:00:00Z", &["30 0 * * *", "0 0 * * *"]),
    ("Europe/Dublin", "1916-05-20T12:00:00Z", &["30 2 * * *", "0 3 * * *"]),
    ("Africa/Johannesburg", "1892-02-06T12:00:00Z", &["0 0 * * *", "59 23 * * *"]),
    ("America/Toronto", "1894-12-30T12:00:00Z", &["10 0 * * *", "0 0 1 1 *"]),
    // Interval jobs follow elapsed time, whatever the options.
    ("Europe/Berlin", "2026-03-29T00:30:00Z", &["*/20 * * * *", "0 * * * *", "*/30 1-3 * * *"]),
    ("Europe/Berlin", "2026-10-25T00:10:00Z", &["*/20 * * * *", "0 * * * *", "*/30 1-3 * * *"]),
    ("Pacific/Apia", "2011-12-30T09:00:00Z", &["*/20 * * * *", "0 * * * *", "0 */6 * * *"]),
    ("Africa/Monrovia", "1972-01-07T00:20:00Z", &["*/20 * * * *", "10 * * * *", "*/9 58 * * * ?"]),
    ("Australia/Lord_Howe", "2026-04-04T14:20:00Z", &["*/20 * * * *", "45 * * * *"]),
    ("Europe/Istanbul", "2016-09-06T12:00:00Z", &["30 3 * * *", "0 0 7 9 *"]),
    ("Europe/Moscow", "2014-10-25T12:00:00Z", &["30 1 * * *", "0 1,2 * * *"]),
    ("Africa/Juba", "2021-01-30T12:00:00Z", &["30 23 * * *", "0 0 1 2 *"]),
    ("Pacific/Norfolk", "2015-10-03T12:00:00Z", &["45 1 * * *", "30 1 * * *"]),
    ("America/St_Johns", "2006-10-28T12:00:00Z", &["1 0 * * *", "30 23 * * *"]),
];

const GAPS: [Gap; 3] = [Gap::RunAtTransition, Gap::Skip, Gap::ShiftByGap];
const FOLDS: [Fold; 3] = [Fold::First, Fold::Last, Fold::Both];

/// Compares every case with the oracle; returns how many there were.
fn check(groups: &[Group], options: &[Dst]) -> usize {
    let mut cases = 0;
    for &(zone, from, texts) in groups {
        let tz = TimeZone::get(zone).unwrap();
        let from: Timestamp = from.parse().unwrap();
        for text in texts {
            let dialect = match text.split(' ').count() {
                6 => Dialect::Quartz6,
                _ => Dialect::Posix5,
            };
            let spec = Spec::parse(text, dialect).unwrap();
            let oracle = Oracle::new(text, dialect);
            for &dst in options {
                let five: Vec<Timestamp> = spec.upcoming_with(from, &tz, dst).take(5).collect();
                let expected = oracle.next(from, &tz, dst, 5);
                assert_eq!(expected.len(), 5, "{text} in {zone} from {from}");
                assert_eq!(five, expected, "{text} in {zone} from {from} with {dst:?}");
            }
            cases += 1;
        }
    }
    cases
}

fn every_option() -> Vec<Dst> {
    let options = GAPS
        .iter()
        .flat_map(|&gap| FOLDS.map(|fold| Dst { gap, fold }));
    options.collect()
}

fn count(groups: &[Group]) -> usize {
    groups.iter().map(|(_, _, texts)| texts.len()).sum()
}

#[test]
fn table_has_more_than_300_cases_and_none_twice() {
    assert!(count(PLAIN) + count(TRANSITIONS) > 300);
    let groups = PLAIN.iter().chain(TRANSITIONS);
    let cases = groups.flat_map(|&(zone, from, texts)| texts.iter().map(move |t| (zone, from, t)));
    let mut seen = std::collections::HashSet::new();
    for case in cases {
        assert!(seen.insert(case), "{case:?}");
    }
}

#[test]
fn next_five_away_from_transitions_are_those_of_the_oracle() {
    assert_eq!(check(PLAIN, &[Dst::default()]), count(PLAIN));
}

#[test]
fn next_five_at_transitions_are_those_of_the_oracle_with_every_option() {
    let (first, _) = TRANSITIONS.split_at(TRANSITIONS.len() / 2);
    assert_eq!(check(first, &every_option()), count(first));
}

#[test]
fn next_five_at_more_transitions_are_those_of_the_oracle_with_every_option() {
    let (_, second) = TRANSITIONS.split_at(TRANSITIONS.len() / 2);
    assert_eq!(check(second, &every_option()), count(second));
}

/// The oracle itself: some of its answers, written by hand.
#[test]
fn oracle_says_what_calendars_and_the_rules_say() {
    #[rustfmt::skip]
    let known = [
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-29T19:00:00Z"),
        ("0 9 * * 1", "Asia/Kathmandu", "2026-03-01T00:00:00Z", "2026-03-02T03:15:00Z"),
        ("0 0 9 ? * 1", "UTC", "2026-01-01T00:00:00Z", "2026-01-04T09:00:00Z"),
        ("10 0 * * *", "Africa/Monrovia", "1972-01-06T12:00:00Z", "1972-01-07T00:44:30Z"),
        ("@every 1h30m", "Europe/Berlin", "1970-01-01T00:00:00Z", "1970-01-01T01:30:00Z"),
    ];
    for (text, zone, from, expected) in known {
        let dialect = match text.split(' ').count() {
            6 => Dialect::Quartz6,
            _ => Dialect::Posix5,
        };
        let tz = TimeZone::get(zone).unwrap();
        let next = Oracle::new(text, dialect).next(from.parse().unwrap(), &tz, Dst::default(), 1);
        assert_eq!(
            next,
            [expected.parse().unwrap()],
            "{text} in {zone} from {from}"
        );
    }
}
