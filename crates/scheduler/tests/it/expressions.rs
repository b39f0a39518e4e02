//! What is an expression, what it says when it is none, and what it means in UTC.

use std::{collections::HashSet, str::FromStr, time::Duration};

use chrono::DateTime;
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use steadfast_scheduler::{Dialect, Field, Spec, SpecError};

fn posix(text: &str) -> Spec {
    Spec::parse(text, Dialect::Posix5).unwrap()
}

fn refused(text: &str, dialect: Dialect) -> SpecError {
    Spec::parse(text, dialect).unwrap_err()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn row_12_sunday_is_sunday_in_every_spelling() {
    let thursday = instant("2026-01-01T00:00:00Z");
    for text in [
        "0 9 * * 0",
        "0 9 * * 7",
        "0 9 * * SUN",
        "0 9 * * sunday",
        "0 9 * * 0,7",
    ] {
        let next = posix(text).next_after(thursday, &TimeZone::UTC);
        assert_eq!(next, Some(instant("2026-01-04T09:00:00Z")), "{text}");
    }
    let quartz = Spec::parse("0 0 9 ? * 1", Dialect::Quartz6).unwrap();
    let next = quartz.next_after(thursday, &TimeZone::UTC);
    assert_eq!(next, Some(instant("2026-01-04T09:00:00Z")));
    assert_eq!(posix("0 9 * * 0").describe(), "every Sunday at 09:00");
}

#[test]
fn one_to_five_is_monday_to_friday_in_posix_and_sunday_to_thursday_in_quartz() {
    assert_eq!(posix("0 9 * * 1-5").describe(), "every weekday at 09:00");
    assert_eq!(
        Spec::parse("0 0 9 ? * 1-5", Dialect::Quartz6)
            .unwrap()
            .describe(),
        "every Sunday, Monday, Tuesday, Wednesday and Thursday at 09:00"
    );
}

#[test]
fn error_names_field_text_span_and_what_is_allowed() {
    #[rustfmt::skip]
    let cases = [
        ("60 * * * *", Field::Minute, "60", 0..2),
        ("0 24 * * *", Field::Hour, "24", 2..4),
        ("  0   9 32 * *", Field::DayOfMonth, "32", 8..10),
        ("0 9 0 * *", Field::DayOfMonth, "0", 4..5),
        ("0 9 * 13 *", Field::Month, "13", 6..8),
        ("0 9 * FOO *", Field::Month, "FOO", 6..9),
        ("0 9 * * 8", Field::DayOfWeek, "8", 8..9),
        ("0 9 * * MON,FOO", Field::DayOfWeek, "FOO", 12..15),
        ("0 9 * * 5-2", Field::DayOfWeek, "5-2", 8..11),
        ("0 9 ? * 1", Field::DayOfMonth, "?", 4..5),
        ("*/0 * * * *", Field::Minute, "*/0", 0..3),
        ("*/60 * * * *", Field::Minute, "*/60", 0..4),
        ("5-1 * * * *", Field::Minute, "5-1", 0..3),
        ("1- * * * *", Field::Minute, "1-", 0..2),
        ("1,,2 * * * *", Field::Minute, "", 2..2),
        ("5* * * * *", Field::Minute, "5*", 0..2),
        ("-1 * * * *", Field::Minute, "-1", 0..2),
        ("99999999999 * * * *", Field::Minute, "99999999999", 0..11),
        ("MON * * * *", Field::Minute, "MON", 0..3),
        ("0 ⏰ * * *", Field::Hour, "⏰", 2..5),
    ];
    for (text, field, part, span) in cases {
        let error = refused(text, Dialect::Posix5);
        assert!(
            matches!(&error, SpecError::Field { field: f, text: t, span: s, .. }
                if (*f, t.as_str(), s) == (field, part, &span)),
            "{text:?} gave {error:?}"
        );
        assert_eq!((error.field(), error.span()), (Some(field), Some(span)));
        assert!(error.to_string().contains("allowed are"), "{error}");
    }
}

#[test]
fn last_weekday_and_nth_are_refused_by_name() {
    for (text, part) in [
        ("0 0 9 L * ?", "L"),
        ("0 0 9 LW * ?", "LW"),
        ("0 0 9 15W * ?", "15W"),
        ("0 0 9 L-3 * ?", "L-3"),
        ("0 0 9 ? * 6L", "6L"),
        ("0 0 9 ? * 6#3", "6#3"),
    ] {
        let error = refused(text, Dialect::Quartz6);
        assert!(
            matches!(&error, SpecError::Unsupported { text, .. } if text == part),
            "{text:?} gave {error:?}"
        );
        assert!(error.to_string().contains("L, W and # are not supported"));
    }
}

#[test]
fn wrong_number_of_fields_says_which_there_are() {
    let error = refused("0 9 * *", Dialect::Posix5);
    assert_eq!(
        error.to_string(),
        "4 fields found: a posix5 expression has 5 (minute, hour, day of month, month, day of week)"
    );
    assert!(matches!(
        refused("", Dialect::Posix5),
        SpecError::FieldCount { found: 0, .. }
    ));
    for text in ["0 9 * * *", "0 0 9 * * ? 2030"] {
        assert!(matches!(
            refused(text, Dialect::Quartz6),
            SpecError::FieldCount { .. }
        ));
    }
}

#[test]
fn what_never_fires_is_refused_and_leap_days_are_not() {
    for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2"] {
        let error = refused(text, Dialect::Posix5);
        assert!(
            matches!(error, SpecError::NeverFires { .. }),
            "{text:?} gave {error:?}"
        );
        assert_eq!(
            (error.field(), error.span()),
            (Some(Field::DayOfMonth), Some(4..6))
        );
    }
    let leap = posix("0 0 29 2 *");
    let next = leap.next_after(instant("2096-02-29T00:00:00Z"), &TimeZone::UTC);
    assert_eq!(
        next,
        Some(instant("2104-02-29T00:00:00Z")),
        "2100 is no leap year"
    );
    let sunday = Spec::parse("0 0 0 29 2 SUN", Dialect::Quartz6).unwrap();
    let next = sunday.next_after(instant("2088-03-01T00:00:00Z"), &TimeZone::UTC);
    assert_eq!(
        next,
        Some(instant("2128-02-29T00:00:00Z")),
        "40 years later"
    );
}

#[test]
fn long_input_is_refused_unread() {
    let text = "1,".repeat(1_000_000);
    assert_eq!(
        refused(&text, Dialect::Posix5),
        SpecError::TooLong {
            length: 2_000_000,
            max: Spec::MAX_LENGTH
        }
    );
}

#[test]
fn words_mean_their_fields_in_either_dialect() {
    let start = instant("2026-02-03T04:05:06Z");
    for (word, fields) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@Monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @annually ", "0 0 1 1 *"),
    ] {
        for dialect in [Dialect::Posix5, Dialect::Quartz6] {
            let word = Spec::parse(word, dialect).unwrap();
            let fires = |spec: &Spec| Vec::from_iter(spec.upcoming(start, &TimeZone::UTC).take(5));
            assert_eq!(fires(&word), fires(&posix(fields)), "{word}");
        }
    }
    for text in ["@reboot", "@daily 5", "@"] {
        let error = refused(text, Dialect::Posix5);
        assert!(
            matches!(error, SpecError::Word { .. }),
            "{text:?} gave {error:?}"
        );
    }
}

#[test]
fn every_fires_at_multiples_since_the_epoch_in_any_zone() {
    let every = posix("@every 90s");
    let lord_howe = TimeZone::get("Australia/Lord_Howe").unwrap();
    for tz in [&TimeZone::UTC, &lord_howe] {
        let next = every.next_after(instant("1970-01-01T00:00:00Z"), tz);
        assert_eq!(next, Some(instant("1970-01-01T00:01:30Z")));
        let next = every.next_after(instant("2026-01-01T00:00:00.5Z"), tz);
        assert_eq!(next, Some(instant("2026-01-01T00:01:30Z")));
        let next = every.next_after(instant("1969-12-31T23:59:59.5Z"), tz);
        assert_eq!(next, Some(instant("1970-01-01T00:00:00Z")));
    }
    assert_eq!(
        posix("@every 1h30m").shortest_interval(),
        Duration::from_secs(5_400)
    );
    assert_eq!(
        posix("@every 1d2h3m4s").shortest_interval(),
        Duration::from_secs(93_784)
    );
    for text in [
        "@every",
        "@every 0s",
        "@every 1.5s",
        "@every 90",
        "@every 30m1h",
        "@every s",
        "@every 1h 30m",
        "@every 367d",
        "@every 99999999999999999999s",
        "@every -5s",
    ] {
        let error = refused(text, Dialect::Posix5);
        assert!(
            matches!(error, SpecError::Every { .. }),
            "{text:?} gave {error:?}"
        );
    }
}

#[test]
fn equal_texts_are_equal_specs_and_round_trip() {
    let spec = posix(" 0  9 * jan mon-fri ");
    assert_eq!(spec.to_string(), "0 9 * JAN MON-FRI");
    assert_eq!(spec, posix("0 9 * JAN MON-FRI"));
    assert_eq!(spec, Spec::parse(spec.as_str(), spec.dialect()).unwrap());
    assert_ne!(spec, posix("0 9 * JAN 1-5"));
    let quartz = Spec::parse("@daily", Dialect::Quartz6).unwrap();
    assert_eq!(
        HashSet::from([posix("@daily"), quartz, posix("@DAILY")]).len(),
        2
    );
    assert_eq!(
        Dialect::from_str(Dialect::Quartz6.as_str()),
        Ok(Dialect::Quartz6)
    );
}

#[test]
fn shortest_interval_is_exact_on_the_wall_clock() {
    const HOUR: u64 = 3_600;
    for (text, seconds) in [
        ("* * * * *", 60),
        ("*/15 * * * *", 900),
        ("0,50 * * * *", 600),
        ("0 * * * *", HOUR),
        ("0,59 9,10 * * *", 60),
        ("0 9 * * *", 24 * HOUR),
        ("0 9,17 * * *", 8 * HOUR),
        ("0 1,23 * * *", 2 * HOUR),
        ("0 1,23 * * 1", 22 * HOUR),
        ("0 9 * * 1", 168 * HOUR),
        ("0 9 * * 1,4", 72 * HOUR),
        ("0 9 1 * *", 28 * 24 * HOUR),
        ("0 9 31 * *", 31 * 24 * HOUR),
        ("0 9 1,31 * *", 24 * HOUR),
        ("0 9 29 2 *", 1461 * 24 * HOUR),
        ("0 9 1 1 *", 365 * 24 * HOUR),
    ] {
        assert_eq!(
            posix(text).shortest_interval(),
            Duration::from_secs(seconds),
            "{text}"
        );
    }
    let quartz = Spec::parse("*/7 * * * * *", Dialect::Quartz6).unwrap();
    assert_eq!(
        quartz.shortest_interval(),
        Duration::from_secs(4),
        "from 56 to 0"
    );
}

#[test]
fn description_is_a_plain_sentence() {
    for (text, sentence) in [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0 * * * *", "every hour"),
        ("5 * * * *", "at minute 5 of every hour"),
        ("0 9 * * *", "every day at 09:00"),
        ("0 9 * * 1-5", "every weekday at 09:00"),
        ("0 9 * * 6,0", "every Saturday and Sunday at 09:00"),
        (
            "30 8,12,17 * * MON",
            "every Monday at 08:30, 12:30 and 17:30",
        ),
        ("0 0 1 * *", "on day 1 of the month at 00:00"),
        (
            "0 0 1,15 1-3 *",
            "on days 1 and 15 of the month in January to March at 00:00",
        ),
        (
            "0 9 13 * 5",
            "on day 13 of the month or every Friday at 09:00",
        ),
        (
            "*/10 9-17 * * 1-5",
            "every 10 minutes in the hours 09 to 17, every weekday",
        ),
        ("0 */2 * * *", "every second hour"),
        ("0 9-17 * * *", "at minute 0 in the hours 09 to 17"),
        ("*/5 */3 * * *", "every 5 minutes in every third hour"),
        ("* 9 * * *", "every minute in the hour 09"),
        ("@every 90s", "every 1 minute 30 seconds"),
        ("@every 1h", "every hour"),
        ("@every 2h30m", "every 2 hours 30 minutes"),
        ("@yearly", "on day 1 of the month in January at 00:00"),
    ] {
        assert_eq!(posix(text).describe(), sentence, "{text}");
    }
    let quartz = |text| Spec::parse(text, Dialect::Quartz6).unwrap().describe();
    assert_eq!(quartz("*/10 * * * * *"), "every 10 seconds");
    assert_eq!(quartz("15 0 9 ? * *"), "every day at 09:00:15");
}

/// Texts that are expressions, look like some, or are anything.
fn any_text() -> impl Strategy<Value = String> {
    let value = "[0-9]{1,3}|[0-9]{8,12}|JAN|dec|Sun|sat|foo|[A-Za-z]{1,4}|\\*|\\?|L|15W|6#3|é";
    let item = "(X|X-X|X/X|X-X/X|\\*/X|X,X|X,X-X|)";
    let item = item.replace('X', &format!("({value})"));
    let item = prop::string::string_regex(&item).unwrap();
    let fields = prop::collection::vec(item, 4..8);
    let spaced = fields.prop_map(|fields| fields.join(" "));
    let every = "(  ?)?@(every|EVERY|Every|daily|é)[ \t]{0,2}([0-9]{0,4}[dhmsDHMSx]){0,4}( 5)?";
    prop_oneof![spaced, every, "[-*/,?LW#@a-z0-9 ]{0,40}", ".{0,40}"]
}

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => (least..=most).prop_map(|value| value.to_string()),
        2 => (least..=most, least..=most)
            .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (least..=most, least..=most, 1..=most)
            .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        1 => (1..=most).prop_map(|step| format!("*/{step}")),
        1 => (least..=most, 1..=most).prop_map(|(from, step)| format!("{from}/{step}")),
    ];
    prop_oneof![
        1 => Just("*".to_owned()),
        2 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

fn quartz_expression() -> impl Strategy<Value = String> {
    (
        field(0, 59),
        field(0, 59),
        field(0, 23),
        field(1, 31),
        field(1, 12),
        field(1, 7),
    )
        .prop_map(|(s, m, h, d, mo, w)| format!("{s} {m} {h} {d} {mo} {w}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn masks_fire_as_cron_does_in_utc(
        text in quartz_expression(),
        start in 946_684_800_i64..3_900_000_000,
    ) {
        let cron = cron::Schedule::from_str(&text).unwrap();
        let mut expected = cron.after(&DateTime::from_timestamp(start, 0).unwrap());
        match Spec::parse(&text, Dialect::Quartz6) {
            Ok(spec) => {
                let start = Timestamp::from_second(start).unwrap();
                for fire in spec.upcoming(start, &TimeZone::UTC).take(5) {
                    // `cron` ends in 2100.
                    let Some(expected) = expected.next() else { break };
                    prop_assert_eq!(fire.as_second(), expected.timestamp());
                }
            }
            Err(SpecError::NeverFires { .. }) => prop_assert_eq!(expected.next(), None),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn parsing_never_panics_and_errors_point_into_the_text(text in any_text()) {
        for dialect in [Dialect::Posix5, Dialect::Quartz6] {
            match Spec::parse(&text, dialect) {
                Ok(spec) => {
                    prop_assert!(spec.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_some());
                    prop_assert!(!spec.describe().is_empty());
                    prop_assert!(spec.shortest_interval() >= Duration::from_secs(1));
                    prop_assert_eq!(Spec::parse(spec.as_str(), dialect), Ok(spec));
                }
                Err(error) => {
                    let message = error.to_string();
                    if let Some(span) = error.span() {
                        let part = text.get(span);
                        prop_assert!(part.is_some(), "{message} points outside of {text:?}");
                        let quoted = format!("{:?}", part.unwrap_or_default());
                        prop_assert!(message.contains(&quoted), "{message} in {text:?}");
                        prop_assert!(message.contains("allowed"), "{}", message);
                    }
                }
            }
        }
    }

    #[test]
    fn case_and_spaces_do_not_matter_whatever_was_parsed_before(
        text in any_text(),
        upper_first in any::<bool>(),
    ) {
        let texts = [text.to_ascii_uppercase(), format!("  {}\t", text.to_ascii_lowercase())];
        let [first, second] = if upper_first { [0, 1] } else { [1, 0] };
        let first = Spec::parse(&texts[first], Dialect::Posix5);
        let second = Spec::parse(&texts[second], Dialect::Posix5);
        prop_assert_eq!(first.ok(), second.ok());
    }

    #[test]
    fn shortest_interval_is_a_lower_bound_that_is_met(
        text in quartz_expression(),
        start in 946_684_800_i64..3_900_000_000,
    ) {
        let Ok(spec) = Spec::parse(&text, Dialect::Quartz6) else { return Ok(()) };
        let start = Timestamp::from_second(start).unwrap();
        let fires: Vec<i64> = spec
            .upcoming(start, &TimeZone::UTC)
            .take(50)
            .map(Timestamp::as_second)
            .collect();
        let shortest = spec.shortest_interval().as_secs() as i64;
        prop_assert!(fires.windows(2).all(|pair| pair[1] - pair[0] >= shortest));
    }
}
