//! A slow, obviously right model of `Dialect::Posix5`: it looks at every minute.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

pub(crate) struct Oracle {
    minutes: Vec<usize>,
    hours: Vec<usize>,
    days: Vec<usize>,
    months: Vec<usize>,
    weekdays: Vec<usize>,
    either_day: bool,
    interval: bool,
}

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

impl Oracle {
    pub(crate) fn new(text: &str) -> Self {
        let fields: Vec<&str> = text.split(' ').collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            panic!("{text:?} has not five fields");
        };
        let star = |field: &str| field.starts_with('*');
        Self {
            minutes: values(minute, 0, 59),
            hours: values(hour, 0, 23),
            days: values(day, 1, 31),
            months: values(month, 1, 12),
            weekdays: values(weekday, 0, 7).iter().map(|day| day % 7).collect(),
            either_day: !star(day) && !star(weekday),
            interval: star(minute) || star(hour),
        }
    }

    fn matches(&self, civil: DateTime) -> bool {
        let day = self.days.contains(&(civil.day() as usize));
        let weekday = civil.weekday().to_sunday_zero_offset() as usize;
        let weekday = self.weekdays.contains(&weekday);
        let date = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        date && self.minutes.contains(&(civil.minute() as usize))
            && self.hours.contains(&(civil.hour() as usize))
            && self.months.contains(&(civil.month() as usize))
    }

    /// The fires later than `after` and up to `window` later, by Vixie's rules.
    pub(crate) fn fires(
        &self,
        after: Timestamp,
        window: Duration,
        tz: &TimeZone,
    ) -> Vec<Timestamp> {
        // Two days more than needed, to know which wall times are seen for the second time.
        let minute = Timestamp::from_second(after.as_second().div_euclid(60) * 60).unwrap();
        let mut instant = minute - SignedDuration::from_hours(48);
        let mut seen = tz.to_datetime(instant - MINUTE);
        let mut previous = seen;
        let mut fires = Vec::new();
        while instant <= after + SignedDuration::try_from(window).unwrap() {
            let civil = tz.to_datetime(instant);
            let fire = if self.interval {
                self.matches(civil)
            } else {
                let skipped = civil.duration_since(previous) - MINUTE;
                let caught_up = skipped <= SignedDuration::from_hours(3)
                    && (1..=skipped.as_mins()).any(|n| self.matches(previous + MINUTE * n as i32));
                caught_up || (civil > seen && self.matches(civil))
            };
            if fire && instant > after {
                fires.push(instant);
            }
            seen = seen.max(civil);
            previous = civil;
            instant += MINUTE;
        }
        fires
    }
}

fn values(field: &str, least: usize, most: usize) -> Vec<usize> {
    let number = |text: &str| -> usize {
        const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
        const WEEKDAYS: &str = "SUNMONTUEWEDTHUFRISAT";
        let (names, first) = if most == 12 {
            (MONTHS, 1)
        } else {
            (WEEKDAYS, 0)
        };
        text.parse()
            .unwrap_or_else(|_| names.find(text).unwrap() / 3 + first)
    };
    let mut values = Vec::new();
    for item in field.split(',') {
        let (base, step) = item.split_once('/').unwrap_or((item, ""));
        let (from, to) = match base.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if base == "*" => (least, most),
            None if step.is_empty() => (number(base), number(base)),
            None => (number(base), most),
        };
        values.extend((from..=to).step_by(step.parse().unwrap_or(1)));
    }
    values
}
