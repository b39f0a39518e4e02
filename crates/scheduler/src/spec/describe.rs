//! Schedules in words.

use std::time::Duration;

use super::{Fields, fields::first};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 13] = [
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONDAY_TO_FRIDAY: u8 = 0b011_1110;
const WEEKEND: u8 = 0b100_0001;

/// As many times of day are listed one by one.
const LISTED_TIMES: u32 = 6;

pub(super) fn period(period: Duration) -> String {
    let mut rest = period.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in [
        ("day", 86_400),
        ("hour", 3_600),
        ("minute", 60),
        ("second", 1),
    ] {
        match rest / seconds {
            0 => {}
            1 if rest == seconds && parts.is_empty() => parts.push(unit.to_owned()),
            1 => parts.push(format!("1 {unit}")),
            count => parts.push(format!("{count} {unit}s")),
        }
        rest %= seconds;
    }
    format!("every {}", parts.join(" "))
}

pub(super) fn fields(fields: &Fields) -> String {
    let days = days(fields);
    let (time, listed) = time(fields);
    match days {
        days if listed => format!("{} {time}", days.unwrap_or_else(|| "every day".into())),
        Some(days) => format!("{time}, {days}"),
        None => time,
    }
}

/// The time of day, and whether it is a list of times.
fn time(fields: &Fields) -> (String, bool) {
    let (hours, minutes, seconds) = (u64::from(fields.hours), fields.minutes, fields.seconds);
    let count = hours.count_ones() * minutes.count_ones() * seconds.count_ones();
    if count <= LISTED_TIMES {
        return (format!("at {}", join(times(hours, minutes, seconds))), true);
    }
    let all_hours = fields.hours == Fields::ALL_HOURS;
    let second = match (units(seconds, 60, "second"), seconds) {
        (_, 1) => None,
        (every, _) => Some(every),
    };
    // On the hour, regular hours speak for themselves.
    let regular_hours = step(hours, 24).filter(|_| minutes == 1 && second.is_none());
    let minute = match (minutes, &second) {
        (Fields::ALL_MINUTES, Some(_)) => None,
        _ if regular_hours.is_some() => None,
        _ => Some(units(minutes, 60, "minute")),
    };
    let hour = match regular_hours {
        Some(1) => Some("every hour".to_owned()),
        Some(step) => Some(format!("every {} hour", ordinal(step))),
        None if !all_hours => Some(format!("in {}", hours_in_words(hours))),
        None if step(minutes, 60).is_some() => None,
        None => Some("of every hour".to_owned()),
    };
    let parts: Vec<String> = [second, minute, hour].into_iter().flatten().collect();
    (parts.join(" "), false)
}

fn times(hours: u64, minutes: u64, seconds: u64) -> Vec<String> {
    let mut times = Vec::new();
    for hour in bits(hours) {
        for minute in bits(minutes) {
            for second in bits(seconds) {
                times.push(if seconds == 1 {
                    format!("{hour:02}:{minute:02}")
                } else {
                    format!("{hour:02}:{minute:02}:{second:02}")
                });
            }
        }
    }
    times
}

/// `every minute`, `every 15 minutes` or `at minutes 5 and 20`.
fn units(mask: u64, size: usize, unit: &str) -> String {
    match step(mask, size) {
        Some(1) => format!("every {unit}"),
        Some(step) => format!("every {step} {unit}s"),
        None if mask.count_ones() == 1 => format!("at {unit} {}", first(mask)),
        None => format!(
            "at {unit}s {}",
            join(ranges(mask, |value| value.to_string()))
        ),
    }
}

/// The step of a mask that is regular around the clock.
fn step(mask: u64, size: usize) -> Option<usize> {
    (1..=size / 2)
        .filter(|step| size.is_multiple_of(*step))
        .find(|step| {
            mask == (0..size)
                .step_by(*step)
                .fold(0, |mask, bit| mask | 1 << bit)
        })
}

fn hours_in_words(hours: u64) -> String {
    match step(hours, 24) {
        Some(step) => format!("every {} hour", ordinal(step)),
        None => {
            let plural = if hours.count_ones() == 1 { "" } else { "s" };
            let hours = ranges(hours, |hour| format!("{hour:02}"));
            format!("the hour{plural} {}", join(hours))
        }
    }
}

/// The days in words, or `None` for every day.
fn days(fields: &Fields) -> Option<String> {
    let all_days = fields.days == Fields::ALL_DAYS;
    let all_weekdays = fields.weekdays == Fields::ALL_WEEKDAYS;
    let of_month = || {
        let days = u64::from(fields.days);
        let plural = if days.count_ones() == 1 { "" } else { "s" };
        let days = join(ranges(days, |day| day.to_string()));
        format!("on day{plural} {days} of the month")
    };
    let days = match (all_days, all_weekdays) {
        (true, true) => None,
        (false, false) if fields.either_day => {
            Some(format!("{} or {}", of_month(), weekdays(fields.weekdays)))
        }
        (false, false) => Some(format!(
            "{} if it is {}",
            of_month(),
            plain_weekdays(fields)
        )),
        (_, true) if !fields.either_day => Some(of_month()),
        (true, _) if !fields.either_day => Some(weekdays(fields.weekdays)),
        _ => None,
    };
    if fields.months == Fields::ALL_MONTHS {
        return days;
    }
    let months = ranges(u64::from(fields.months), |month| MONTHS[month].to_owned());
    let days = days.unwrap_or_else(|| "every day".into());
    Some(format!("{days} in {}", join(months)))
}

fn weekdays(mask: u8) -> String {
    match mask {
        MONDAY_TO_FRIDAY => "every weekday".into(),
        WEEKEND => "every Saturday and Sunday".into(),
        _ => format!("every {}", join(weekday_names(mask))),
    }
}

fn plain_weekdays(fields: &Fields) -> String {
    match fields.weekdays {
        MONDAY_TO_FRIDAY => "a weekday".into(),
        mask => {
            let names = weekday_names(mask);
            names.join(" or ")
        }
    }
}

fn weekday_names(mask: u8) -> Vec<String> {
    bits(u64::from(mask))
        .map(|day| WEEKDAYS[day].to_owned())
        .collect()
}

/// The values of a mask, three and more in a row as a range.
fn ranges(mask: u64, name: impl Fn(usize) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    let mut values = bits(mask).peekable();
    while let Some(start) = values.next() {
        let mut end = start;
        while let Some(next) = values.next_if_eq(&(end + 1)) {
            end = next;
        }
        match end - start {
            0 => parts.push(name(start)),
            1 => parts.extend([name(start), name(end)]),
            _ => parts.push(format!("{} to {}", name(start), name(end))),
        }
    }
    parts
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |bit| mask >> bit & 1 == 1)
}

fn join(mut parts: Vec<String>) -> String {
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() {
        return last;
    }
    format!("{} and {last}", parts.join(", "))
}

fn ordinal(number: usize) -> String {
    match number {
        2 => "second".into(),
        3 => "third".into(),
        n => format!("{n}th"),
    }
}
