//! A table of schedules over whole windows against the minute-by-minute oracle.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use steadfast_scheduler::{Dialect, Dst, Spec};

use crate::oracle::Oracle;

const DAY: u64 = 86_400;

/// Expression, zone, start, days.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str, u64)] = &[
    // Plain fields.
    ("* * * * *", "UTC", "2026-01-01T00:00:00Z", 1),
    ("*/15 * * * *", "UTC", "2026-01-01T00:00:00Z", 2),
    ("7-59/13 * * * *", "UTC", "2026-01-01T00:00:30Z", 2),
    ("5/20 * * * *", "UTC", "2026-01-01T00:00:00Z", 2),
    ("0 * * * *", "UTC", "2026-01-31T22:30:00Z", 3),
    ("0 9 * * *", "UTC", "2026-02-27T00:00:00Z", 5),
    ("30 8,12,17 * * *", "UTC", "2025-12-30T00:00:00Z", 5),
    ("0 0 1 * *", "UTC", "2026-01-01T00:00:00Z", 70),
    ("59 23 31 12 *", "UTC", "2026-12-25T00:00:00Z", 10),
    ("0 0 29 2 *", "UTC", "2028-02-20T00:00:00Z", 20),
    ("0 12 31 * *", "UTC", "2026-01-15T00:00:00Z", 90),
    ("0 6 * JAN,MAR *", "UTC", "2026-01-28T00:00:00Z", 40),
    ("0 6 * APR-JUN/2 *", "UTC", "2026-04-28T00:00:00Z", 40),
    ("*/5 22-23 * * *", "UTC", "2026-05-01T23:50:00Z", 2),
    // Weekdays: Sunday is Sunday.
    ("0 9 * * 0", "UTC", "2026-03-01T00:00:00Z", 21),
    ("0 9 * * 7", "UTC", "2026-03-01T00:00:00Z", 21),
    ("0 9 * * SUN", "UTC", "2026-03-01T00:00:00Z", 21),
    ("0 9 * * 1-5", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * MON-FRI", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * 5-7", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * 0-2", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * */2", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * 1-5/2", "UTC", "2026-03-01T00:00:00Z", 14),
    ("0 9 * * 0,3,6", "UTC", "2026-03-01T00:00:00Z", 14),
    // Day of month or day of week.
    ("0 9 13 * 5", "UTC", "2026-02-01T00:00:00Z", 45),
    ("0 9 1,15 * MON", "UTC", "2026-02-01T00:00:00Z", 45),
    ("0 9 */2 * 1", "UTC", "2026-02-01T00:00:00Z", 45),
    ("0 9 1-7 * */7", "UTC", "2026-02-01T00:00:00Z", 45),
    ("0 9 31 2 MON", "UTC", "2026-01-25T00:00:00Z", 40),
    ("0 9 1-31 * 3", "UTC", "2026-02-01T00:00:00Z", 10),
    // Clocks go forward by an hour.
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("15,45 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("0 3 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("59 1 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("30 * * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", 1),
    ("*/20 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
    ("* 1-3 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", 1),
    ("30 2 * * 0", "America/New_York", "2026-03-07T00:00:00Z", 10),
    ("30 2 8 3 *", "America/New_York", "2026-03-07T00:00:00Z", 3),
    ("0 2 * * *", "America/New_York", "2026-03-08T06:59:00Z", 2),
    ("*/30 * * * *", "America/New_York", "2026-03-08T05:00:00Z", 1),
    // Clocks go back by an hour.
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
    ("0 2,3 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
    ("30 * * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 1),
    ("*/15 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 2),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:29:00Z", 2),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", 2),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", 2),
    ("45 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", 2),
    ("15 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 4),
    ("0 1-2 * * *", "America/New_York", "2026-10-31T00:00:00Z", 4),
    ("*/10 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3),
    // Clocks that change by half an hour.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T00:00:00Z", 4),
    ("40 1 * * *", "Australia/Lord_Howe", "2026-04-03T00:00:00Z", 4),
    ("*/10 * * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 1),
    ("0,30 1-2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", 3),
    // Clocks that change at midnight.
    ("0 0 * * *", "Asia/Tehran", "2022-03-20T00:00:00Z", 4),
    ("30 0 * * *", "Asia/Tehran", "2022-03-20T00:00:00Z", 4),
    ("30 23 * * *", "Asia/Tehran", "2022-09-20T00:00:00Z", 4),
    ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00:00Z", 4),
    ("30 0 4 11 *", "America/Sao_Paulo", "2018-11-03T00:00:00Z", 4),
    ("30 23 * * *", "America/Sao_Paulo", "2018-02-16T00:00:00Z", 4),
    ("*/30 * * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", 2),
    // A day that never was.
    ("0 9 * * *", "Pacific/Apia", "2011-12-28T00:00:00Z", 5),
    ("0 9 30 12 *", "Pacific/Apia", "2011-12-28T00:00:00Z", 5),
    ("0 * * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 2),
    ("0 0 * * *", "Pacific/Apia", "2011-12-28T00:00:00Z", 5),
    // An hour less during Ramadan.
    ("30 2 * * *", "Africa/Casablanca", "2026-02-14T00:00:00Z", 3),
    ("30 2 * * *", "Africa/Casablanca", "2026-03-21T00:00:00Z", 3),
    ("*/20 2 * * *", "Africa/Casablanca", "2026-02-14T00:00:00Z", 3),
    // Offsets that are no whole hours.
    ("0 9 * * *", "Asia/Kathmandu", "2026-03-01T00:00:00Z", 3),
    ("30 2 * * *", "America/St_Johns", "2026-03-07T00:00:00Z", 3),
    ("15 1 * * *", "Pacific/Chatham", "2026-04-04T00:00:00Z", 3),
    ("50 2 * * *", "Pacific/Chatham", "2026-09-25T12:00:00Z", 3),
    // A zone that changes its standard time.
    ("15 2 * * *", "Asia/Pyongyang", "2018-05-03T00:00:00Z", 3),
    ("45 23 * * *", "Asia/Pyongyang", "2018-05-03T00:00:00Z", 3),
];

#[test]
fn fires_of_the_table_equal_those_of_the_minute_by_minute_oracle() {
    assert!(CASES.len() >= 60);
    let mut total = 0;
    for &(text, zone, start, days) in CASES {
        let spec = Spec::parse(text, Dialect::Posix5).unwrap();
        let tz = TimeZone::get(zone).unwrap();
        let start: Timestamp = start.parse().unwrap();
        let end = start + Duration::from_secs(days * DAY);
        let fires: Vec<Timestamp> = spec
            .upcoming(start, &tz)
            .take_while(|fire| *fire <= end)
            .collect();
        let oracle = Oracle::new(text, Dialect::Posix5);
        let expected = oracle.fires(start, end, &tz, Dst::default());
        let differs = fires
            .iter()
            .zip(&expected)
            .position(|(fire, wanted)| fire != wanted);
        let at = differs.unwrap_or(fires.len().min(expected.len()));
        assert!(
            fires == expected,
            "{text} in {zone} from {start}: {:?}, not {:?}",
            fires.get(at),
            expected.get(at)
        );
        total += fires.len();
    }
    assert!(total > 1_000, "the table tests next to nothing");
}
