//! A slow, obviously right model of schedules, by the rules as they are written.
//!
//! It looks at one hour after the other, at every minute of those that match, and at every second of
//! those minutes, and never goes over a change of the offset. Of jiff it uses only the offset of a
//! zone at an instant and the calendar: gaps and folds are what it sees. It shares nothing with the
//! crate, not even the parser.

use std::collections::BTreeSet;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, date},
    tz::TimeZone,
};
use steadfast_scheduler::{Dialect, Dst, Fold, Gap};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// No gap is longer, and nowhere is it further from one local time to the same one again.
const LONGEST_JUMP_HOURS: i64 = 26;

/// How far a schedule may be away: no date is rarer than 29 February on a given weekday.
const HORIZON_DAYS: i64 = 41 * 366;

/// Which values match.
type Set = [bool; 64];

pub(crate) enum Oracle {
    Fields(Box<Fields>),
    /// In seconds since the epoch.
    Every(i64),
}

pub(crate) struct Fields {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    /// Sunday is 0.
    weekdays: Set,
    either_day: bool,
    interval: bool,
}

impl Oracle {
    pub(crate) fn new(text: &str, dialect: Dialect) -> Self {
        let text = match text {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ => match text.strip_prefix("@every ") {
                Some(duration) => return Self::Every(seconds_of(duration)),
                None => return Self::Fields(Box::new(Fields::new(text, dialect))),
            },
        };
        Self::Fields(Box::new(Fields::new(text, Dialect::Posix5)))
    }

    /// The first `count` fires later than `after`.
    pub(crate) fn next(
        &self,
        after: Timestamp,
        tz: &TimeZone,
        dst: Dst,
        count: usize,
    ) -> Vec<Timestamp> {
        let mut fires = BTreeSet::new();
        let mut from = second_of(after);
        let horizon = from + count as i64 * HORIZON_DAYS * DAY;
        while fires.len() < count && from < horizon {
            // A day's fires are all known when the day is over, also those that a gap puts off.
            let until = (from.div_euclid(DAY) + 1) * DAY;
            fires.extend(self.between(from, until, tz, dst));
            from = until;
        }
        fires.into_iter().take(count).map(instant).collect()
    }

    /// The fires later than `after` and up to `until`.
    pub(crate) fn fires(
        &self,
        after: Timestamp,
        until: Timestamp,
        tz: &TimeZone,
        dst: Dst,
    ) -> Vec<Timestamp> {
        let fires = self.between(second_of(after), second_of(until), tz, dst);
        fires.into_iter().map(instant).collect()
    }

    fn between(&self, after: i64, until: i64, tz: &TimeZone, dst: Dst) -> Vec<i64> {
        match self {
            Self::Every(period) => (after + 1..=until).filter(|t| t % period == 0).collect(),
            Self::Fields(fields) if fields.may_match_between(after, until) => {
                fields.between(after, until, &Zone::new(tz, after, until), dst)
            }
            Self::Fields(_) => Vec::new(),
        }
    }
}

impl Fields {
    fn new(text: &str, dialect: Dialect) -> Self {
        let mut texts: Vec<&str> = text.split(' ').collect();
        if dialect == Dialect::Posix5 {
            texts.insert(0, "0");
        }
        let [second, minute, hour, day, month, weekday] = texts[..] else {
            panic!("{text:?} has not as many fields as {dialect}");
        };
        let starred = |field: &str| field.starts_with('*');
        let weekdays = match dialect {
            Dialect::Posix5 => posix_weekdays(weekday),
            // Sunday is 1.
            Dialect::Quartz6 => Vec::from_iter(values(weekday, 1, 7).iter().map(|day| day - 1)),
        };
        Self {
            seconds: set(&values(second, 0, 59)),
            minutes: set(&values(minute, 0, 59)),
            hours: set(&values(hour, 0, 23)),
            days: set(&values(day, 1, 31)),
            months: set(&values(month, 1, 12)),
            weekdays: set(&weekdays),
            either_day: dialect == Dialect::Posix5 && !starred(day) && !starred(weekday),
            interval: starred(second) || starred(minute) || starred(hour),
        }
    }

    fn matches_date(&self, date: Date) -> bool {
        let day = self.days[date.day() as usize];
        let weekday = self.weekdays[date.weekday().to_sunday_zero_offset() as usize];
        let either_or_both = match self.either_day {
            true => day || weekday,
            false => day && weekday,
        };
        either_or_both && self.months[date.month() as usize]
    }

    /// Whether a local time, in seconds since 1970-01-01T00:00:00, is in an hour that matches.
    fn matches_hour(&self, local: i64) -> bool {
        let hour = local.div_euclid(HOUR).rem_euclid(24);
        self.hours[hour as usize] && self.matches_date(date_of(local))
    }

    fn matches_minute(&self, local: i64) -> bool {
        let minute = local.div_euclid(MINUTE).rem_euclid(60);
        self.minutes[minute as usize] && self.matches_hour(local)
    }

    fn matches(&self, local: i64) -> bool {
        self.seconds[local.rem_euclid(60) as usize] && self.matches_minute(local)
    }

    /// Local dates are at most two days from those in UTC, and a gap moves no fire by more.
    fn may_match_between(&self, after: i64, until: i64) -> bool {
        let mut day = after - 3 * DAY;
        while day <= until + 3 * DAY {
            if self.matches_date(date_of(day)) {
                return true;
            }
            day += DAY;
        }
        false
    }

    fn between(&self, after: i64, until: i64, zone: &Zone<'_>, dst: Dst) -> Vec<i64> {
        let mut fires = BTreeSet::new();
        // What a gap shortly before has put off is to come.
        let mut now = match zone.changes_before(after) {
            true => after - LONGEST_JUMP_HOURS * HOUR,
            false => after + 1,
        };
        let mut before = zone.offset(now - 1);
        while now <= until {
            let offset = zone.offset(now);
            if !self.interval && offset > before {
                self.put_off(now, before, offset, dst.gap, &mut fires);
            }
            let local = now + offset;
            if self.matches(local) && (self.interval || zone.is_pass(now, local, dst.fold)) {
                fires.insert(now);
            }
            let step = self.step(local);
            let leaps = zone.offset(now + step) == offset;
            now += if leaps { step } else { 1 };
            before = offset;
        }
        fires
            .into_iter()
            .filter(|t| *t > after && *t <= until)
            .collect()
    }

    /// How far the next local time is that can match: the next second, or the next minute or hour
    /// where this one does not match.
    fn step(&self, local: i64) -> i64 {
        if !self.matches_hour(local) {
            HOUR - local.rem_euclid(HOUR)
        } else if !self.matches_minute(local) {
            MINUTE - local.rem_euclid(MINUTE)
        } else {
            1
        }
    }

    /// What becomes of the local times that are skipped at the transition `now`.
    fn put_off(&self, now: i64, before: i64, offset: i64, gap: Gap, fires: &mut BTreeSet<i64>) {
        let (from, to) = (now + before, now + offset);
        let locals = std::iter::successors(Some(from), |local| Some(local + self.step(*local)));
        let mut skipped = locals
            .take_while(|local| *local < to)
            .filter(|local| self.matches(*local));
        match gap {
            Gap::Skip => {}
            Gap::RunAtTransition => {
                if to - from <= 3 * HOUR && skipped.next().is_some() {
                    fires.insert(now);
                }
            }
            // As late as it would have been without the transition.
            Gap::ShiftByGap => fires.extend(skipped.map(|local| local - before)),
        }
    }
}

/// The offsets of a zone in a window and as far around it as matters.
struct Zone<'a> {
    tz: &'a TimeZone,
    first_hour: i64,
    /// At the beginning of each hour.
    offsets: Vec<i64>,
}

impl<'a> Zone<'a> {
    fn new(tz: &'a TimeZone, after: i64, until: i64) -> Self {
        let first_hour = after.div_euclid(HOUR) - 2 * LONGEST_JUMP_HOURS - 2;
        let last_hour = until.div_euclid(HOUR) + LONGEST_JUMP_HOURS + 2;
        let offset = |hour: i64| i64::from(tz.to_offset(instant(hour * HOUR)).seconds());
        Self {
            tz,
            first_hour,
            offsets: (first_hour..=last_hour).map(offset).collect(),
        }
    }

    fn offset(&self, second: i64) -> i64 {
        let hour = (second.div_euclid(HOUR) - self.first_hour) as usize;
        let (begin, end) = (self.offsets[hour], self.offsets[hour + 1]);
        if begin == end {
            return begin;
        }
        i64::from(self.tz.to_offset(instant(second)).seconds())
    }

    fn changes_before(&self, second: i64) -> bool {
        let offset = self.offset(second);
        (1..=LONGEST_JUMP_HOURS).any(|hours| self.offset(second - hours * HOUR) != offset)
    }

    /// Whether a job fires at the instant `now`, which has this local time, given the others that
    /// have the same.
    fn is_pass(&self, now: i64, local: i64, fold: Fold) -> bool {
        let around = -LONGEST_JUMP_HOURS..=LONGEST_JUMP_HOURS;
        let offsets: BTreeSet<i64> = around
            .map(|hours| self.offset(now + hours * HOUR))
            .collect();
        let passes = offsets.into_iter().map(|offset| local - offset);
        let mut passes = passes.filter(|pass| pass + self.offset(*pass) == local);
        match fold {
            Fold::First => passes.min() == Some(now),
            Fold::Last => passes.max() == Some(now),
            Fold::Both => passes.any(|pass| pass == now),
        }
    }
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Rounded down, also before 1970.
fn second_of(instant: Timestamp) -> i64 {
    instant.as_nanosecond().div_euclid(1_000_000_000) as i64
}

fn date_of(local: i64) -> Date {
    date(1970, 1, 1) + local.div_euclid(DAY).days()
}

/// Sunday is 0 and 7 and may end a range, and a step without an end goes on until Saturday.
fn posix_weekdays(field: &str) -> Vec<i64> {
    let days = field.split(',').flat_map(|item| {
        let item = item.replace("-SUN", "-7");
        let has_end = !item.contains('/') || item.contains('-');
        match (has_end, item.as_bytes()) {
            (false, [b'7', ..]) => vec![0],
            (false, _) => values(&item, 0, 6),
            (true, _) => values(&item, 0, 7),
        }
    });
    days.map(|day| day % 7).collect()
}

fn set(values: &[i64]) -> Set {
    std::array::from_fn(|n| values.contains(&(n as i64)))
}

fn values(field: &str, least: i64, most: i64) -> Vec<i64> {
    const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
    const WEEKDAYS: &str = "SUNMONTUEWEDTHUFRISAT";
    let names = if most == 12 { MONTHS } else { WEEKDAYS };
    let number = |text: &str| match text.parse() {
        Ok(number) => number,
        Err(_) => names.find(text).unwrap() as i64 / 3 + least,
    };
    let mut values = Vec::new();
    for item in field.split(',') {
        let (base, step) = item.split_once('/').unwrap_or((item, ""));
        let (from, to) = match base.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if base == "*" || base == "?" => (least, most),
            None if step.is_empty() => (number(base), number(base)),
            None => (number(base), most),
        };
        values.extend((from..=to).step_by(step.parse().unwrap_or(1)));
    }
    values
}

/// `1d2h3m4s`, or a part of it.
fn seconds_of(duration: &str) -> i64 {
    let mut total = 0;
    let mut count = 0;
    for character in duration.chars() {
        let unit = match character {
            'd' => DAY,
            'h' => HOUR,
            'm' => MINUTE,
            's' => 1,
            digit => {
                count = count * 10 + i64::from(digit.to_digit(10).unwrap());
                continue;
            }
        };
        total += count * unit;
        count = 0;
    }
    total
}
