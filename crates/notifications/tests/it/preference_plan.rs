//! When deliveries may interrupt, by examples and against a simulation that goes minute by minute.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use proptest::prelude::*;
use steadfast_notifications::{Digest, Plan, Preferences, QuietHours, TimeOfDay, Weekday};

fn time(text: &str) -> TimeOfDay {
    text.parse().unwrap()
}

fn berlin(quiet: Option<(&str, &str)>, digest: &[&str]) -> Preferences {
    Preferences {
        tz: "Europe/Berlin".into(),
        quiet_hours: quiet.map(|(from, to)| QuietHours {
            from: time(from),
            to: time(to),
            days: Weekday::ALL.to_vec(),
        }),
        digest: (!digest.is_empty()).then(|| Digest {
            at: digest.iter().map(|text| time(text)).collect(),
        }),
        ..Preferences::unset()
    }
}

/// Plans at a time on Berlin's clock: when, on that clock, and whether with the digest.
fn planned(preferences: &Preferences, now: &str) -> (String, bool) {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let now: DateTime = now.parse().unwrap();
    let now = zone.to_timestamp(now).unwrap();
    let Plan { at, digest } = preferences.plan(now, false);
    (zone.to_datetime(at).to_string(), digest)
}

#[track_caller]
fn at(preferences: &Preferences, now: &str, expected: &str) {
    assert_eq!(planned(preferences, now), (expected.into(), false), "{now}");
}

#[test]
fn quiet_hours_across_midnight_hold_until_their_end() {
    let night = berlin(Some(("22:00", "07:00")), &[]);
    for (now, expected) in [
        ("2027-01-15T21:59:59", "2027-01-15T21:59:59"),
        ("2027-01-15T22:00:00", "2027-01-16T07:00:00"),
        ("2027-01-16T00:00:00", "2027-01-16T07:00:00"),
        ("2027-01-16T06:59:59", "2027-01-16T07:00:00"),
        ("2027-01-16T07:00:00", "2027-01-16T07:00:00"),
    ] {
        at(&night, now, expected);
    }
    let siesta = berlin(Some(("13:00", "15:00")), &[]);
    at(&siesta, "2027-01-15T14:00:00", "2027-01-15T15:00:00");
    at(&siesta, "2027-01-15T01:00:00", "2027-01-15T01:00:00");
}

#[test]
fn quiet_hours_belong_to_the_day_on_which_they_begin() {
    let mut night = berlin(Some(("22:00", "07:00")), &[]);
    night.quiet_hours.as_mut().unwrap().days = vec![Weekday::Fri];
    // 15 January 2027 is a Friday.
    at(&night, "2027-01-15T03:00:00", "2027-01-15T03:00:00");
    at(&night, "2027-01-15T23:00:00", "2027-01-16T07:00:00");
    at(&night, "2027-01-16T03:00:00", "2027-01-16T07:00:00");
    at(&night, "2027-01-16T23:00:00", "2027-01-16T23:00:00");
}

#[test]
fn quiet_hours_end_at_the_gap_that_skips_their_end_and_at_the_second_pass_of_a_fold() {
    let early = berlin(Some(("22:00", "02:30")), &[]);
    at(&early, "2027-03-28T01:00:00", "2027-03-28T03:00:00");
    let (now, zone) = (
        "2027-10-31T00:00:00",
        TimeZone::get("Europe/Berlin").unwrap(),
    );
    let now = zone.to_timestamp(now.parse().unwrap()).unwrap();
    let plan = early.plan(now, false);
    assert_eq!(plan.at.to_string(), "2027-10-31T01:30:00Z", "not 00:30 UTC");
}

#[test]
fn quiet_hours_go_on_where_a_gap_skips_all_that_is_left_open() {
    let nearly_always = berlin(Some(("03:00", "02:00")), &[]);
    at(&nearly_always, "2027-03-26T12:00:00", "2027-03-27T02:00:00");
    at(&nearly_always, "2027-03-27T12:00:00", "2027-03-29T02:00:00");
}

#[test]
fn digest_goes_at_the_next_listed_time() {
    let thrice = berlin(None, &["18:00", "08:00", "12:00"]);
    for (now, expected) in [
        ("2027-01-15T07:59:59", "2027-01-15T08:00:00"),
        ("2027-01-15T08:00:00", "2027-01-15T12:00:00"),
        ("2027-01-15T18:00:01", "2027-01-16T08:00:00"),
    ] {
        assert_eq!(planned(&thrice, now), (expected.into(), true));
    }
    let skipped = berlin(None, &["02:30"]);
    let expected = ("2027-03-28T03:00:00".into(), true);
    assert_eq!(planned(&skipped, "2027-03-28T01:00:00"), expected);
}

#[test]
fn digest_that_falls_into_quiet_hours_goes_at_their_end_and_takes_along_what_comes_meanwhile() {
    let both = berlin(Some(("22:00", "07:00")), &["06:00", "20:00"]);
    for now in [
        "2027-01-15T20:00:00",
        "2027-01-15T21:00:00",
        "2027-01-16T05:00:00",
        "2027-01-16T06:30:00",
    ] {
        let expected = ("2027-01-16T07:00:00".into(), true);
        assert_eq!(planned(&both, now), expected, "{now}");
    }
    let expected = ("2027-01-16T20:00:00".into(), true);
    assert_eq!(planned(&both, "2027-01-16T07:00:00"), expected);
}

#[test]
fn urgent_is_neither_held_nor_gathered() {
    let both = berlin(Some(("00:00", "23:59")), &["06:00"]);
    let now: Timestamp = "2027-01-15T12:00:00Z".parse().unwrap();
    let at_once = Plan {
        at: now,
        digest: false,
    };
    assert_eq!(both.plan(now, true), at_once);
    assert_ne!(both.plan(now, false), at_once);
}

#[test]
fn nothing_is_held_by_a_zone_that_is_gone_or_at_the_ends_of_time() {
    let gone = Preferences {
        tz: "Mars/Base".into(),
        ..berlin(Some(("22:00", "07:00")), &["08:00"])
    };
    let now: Timestamp = "2027-01-15T23:00:00Z".parse().unwrap();
    assert_eq!(gone.plan(now, false).at, now);
    let held = berlin(Some(("22:00", "07:00")), &["08:00"]);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(held.plan(now, false).at >= now);
    }
}

/// A zone's clock, read at each minute of some days.
struct Minutes(Vec<(Timestamp, DateTime)>);

impl Minutes {
    fn around(now: Timestamp, zone: &TimeZone) -> Self {
        let now = now.as_second().div_euclid(60) * 60;
        let minutes = (-4 * 1440..=5 * 1440).map(|minute| {
            let at = Timestamp::from_second(now + minute * 60).unwrap();
            (at, zone.to_datetime(at))
        });
        Self(minutes.collect())
    }

    /// When the clock shows a time on a date, first and last; when it passes it, if never.
    fn shown(&self, date: Date, time: TimeOfDay) -> (Timestamp, Timestamp) {
        let wanted: DateTime = format!("{date}T{time}:00").parse().unwrap();
        let mut shown = self.0.iter().filter(|(_, clock)| *clock == wanted);
        let passed = self.0.iter().find(|(_, clock)| *clock > wanted).unwrap();
        let first = shown.next().unwrap_or(passed);
        (first.0, shown.next_back().unwrap_or(first).0)
    }

    fn dates(&self) -> impl Iterator<Item = Date> {
        let (first, last) = (self.0[0].1.date(), self.0[self.0.len() - 1].1.date());
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        dates.skip(1).take_while(move |date| *date < last)
    }

    /// The spans of quiet hours, by the clock's readings.
    fn quiet(&self, quiet: &QuietHours) -> Vec<(Timestamp, Timestamp)> {
        let spans = self.dates().filter_map(|date| {
            let day = Weekday::ALL[date.weekday().to_monday_zero_offset() as usize];
            let end = if quiet.to > quiet.from {
                date
            } else {
                date.tomorrow().unwrap()
            };
            let is_known = end < self.0[self.0.len() - 1].1.date();
            let span = || (self.shown(date, quiet.from).0, self.shown(end, quiet.to).1);
            (quiet.days.contains(&day) && is_known).then(span)
        });
        spans.collect()
    }

    /// The largest step of the clock.
    fn step(&self) -> SignedDuration {
        let steps = self.0.windows(2).map(|two| {
            let moved = two[1].1.duration_since(two[0].1);
            (moved - SignedDuration::from_mins(1)).abs()
        });
        steps.max().unwrap()
    }
}

/// What `plan` must say, found out by going through the minutes.
fn simulated(preferences: &Preferences, now: Timestamp, minutes: &Minutes) -> Plan {
    let spans = preferences.quiet_hours.as_ref();
    let spans = spans.map(|quiet| minutes.quiet(quiet)).unwrap_or_default();
    let is_quiet = |at| spans.iter().any(|(from, to)| *from <= at && at < *to);
    let Some(digest) = &preferences.digest else {
        let later = minutes.0.iter().map(|(at, _)| *at).filter(|at| *at > now);
        let mut open = std::iter::once(now)
            .chain(later)
            .filter(|at| !is_quiet(*at));
        return Plan {
            at: open.next().unwrap(),
            digest: false,
        };
    };
    let times = minutes.dates().flat_map(|date| {
        let at = digest.at.iter();
        at.map(move |time| minutes.shown(date, *time).0)
    });
    let times: std::collections::BTreeSet<_> = times.collect();
    let mut is_due = false;
    for (at, _) in &minutes.0 {
        is_due |= times.contains(at);
        if is_due && !is_quiet(*at) {
            is_due = false;
            if *at > now {
                return Plan {
                    at: *at,
                    digest: true,
                };
            }
        }
    }
    panic!("no digest within five days");
}

fn any_time() -> impl Strategy<Value = TimeOfDay> {
    // Many times of day at which clocks are changed.
    let hour = prop_oneof![0..24u8, 0..4u8];
    let minute = prop_oneof![Just(0), Just(30), 0..60u8];
    (hour, minute).prop_map(|(hour, minute)| time(&format!("{hour:02}:{minute:02}")))
}

fn any_preferences() -> impl Strategy<Value = Preferences> {
    let zones: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    let days = proptest::sample::subsequence(Weekday::ALL.to_vec(), 1..=7);
    let days = prop_oneof![Just(Weekday::ALL.to_vec()), days];
    let quiet = (any_time(), any_time(), days)
        .prop_filter("it must end at another time", |(from, to, _)| from != to)
        .prop_map(|(from, to, days)| QuietHours { from, to, days });
    let digest = proptest::collection::vec(any_time(), 1..=6).prop_map(|at| Digest { at });
    (
        proptest::sample::select(zones),
        proptest::option::weighted(0.8, quiet),
        proptest::option::of(digest),
    )
        .prop_map(|(tz, quiet_hours, digest)| Preferences {
            tz,
            quiet_hours,
            digest,
            ..Preferences::unset()
        })
}

/// An instant from 1995 to 2037, often within a day of a transition of the zone.
fn instant(zone: &TimeZone, seconds: i64, near: Option<i64>) -> Timestamp {
    let at = Timestamp::from_second(seconds).unwrap();
    match (near, zone.following(at).next()) {
        (Some(offset), Some(transition)) if transition.timestamp().as_second() < 2_113_000_000 => {
            transition.timestamp() + SignedDuration::from_secs(offset)
        }
        _ => at,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plan_is_what_going_through_the_minutes_finds(
        preferences in any_preferences(),
        seconds in 790_000_000_i64..2_110_000_000,
        near in proptest::option::weighted(0.7, -100_000_i64..100_000),
    ) {
        let zone = TimeZone::get(&preferences.tz).unwrap();
        let now = instant(&zone, seconds, near);
        let minutes = Minutes::around(now, &zone);
        let plan = preferences.plan(now, false);
        prop_assert_eq!(plan, simulated(&preferences, now, &minutes), "now {}", now);
        prop_assert!(plan.at >= now);

        let step = minutes.step();
        // What is left open between quiet hours, or a day, may be skipped by the zone.
        let spans = preferences.quiet_hours.as_ref().map(|quiet| minutes.quiet(quiet));
        let spans = spans.unwrap_or_default();
        let touch = |two: &[(Timestamp, Timestamp)]| two[1].0 <= two[0].1;
        let is_swallowed = step >= SignedDuration::from_hours(3) || spans.windows(2).any(touch);
        let held = usize::from(preferences.quiet_hours.is_some())
            + usize::from(preferences.digest.is_some());
        let day = SignedDuration::from_hours(24) + step + step;
        prop_assume!(!is_swallowed);
        prop_assert!(plan.at.duration_since(now) <= day * i32::try_from(held).unwrap());
        let urgent = preferences.plan(now, true);
        prop_assert_eq!((urgent.at, urgent.digest), (now, false));
    }
}
