use jiff::civil::{Date, DateTime, Time};

/// A civil search looks this many years ahead: the same date falls on the same weekday again
/// after at most 40, across a century without a leap day.
const HORIZON_YEARS: i16 = 41;

/// The days, weekdays and dates repeat after this many years.
const GREGORIAN_CYCLE_YEARS: i16 = 400;

/// One bit for each of six weeks.
const EVERY_WEEK: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28 | 1 << 35;

const SECONDS_PER_DAY: i64 = 86_400;

/// A schedule in wall-clock fields, one bit for each value: bit `n` stands for the value `n`
/// (Sunday is weekday 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u32,
    pub(crate) days: u32,
    pub(crate) months: u16,
    pub(crate) weekdays: u8,
    /// A day need match only one of `days` and `weekdays`.
    pub(crate) either_day: bool,
    /// The second, minute or hour field begins with `*`.
    pub(crate) interval: bool,
}

impl Fields {
    pub(crate) const ALL_DAYS: u32 = 0xffff_fffe;
    pub(crate) const ALL_WEEKDAYS: u8 = 0x7f;
    pub(crate) const ALL_MONTHS: u16 = 0x1ffe;
    pub(crate) const ALL_HOURS: u32 = 0x00ff_ffff;
    pub(crate) const ALL_MINUTES: u64 = (1 << 60) - 1;

    /// The first wall time later than `after` that matches; sub-seconds are ignored.
    ///
    /// Each field costs a few instructions; at most [`HORIZON_YEARS`] are searched.
    pub(crate) fn next(&self, after: DateTime) -> Option<DateTime> {
        let date = after.date();
        let days = self.days_in(date.year(), date.month());
        if days >> date.day() & 1 == 1
            && let Some(time) = self.next_time(after.time())
        {
            return Some(date.to_datetime(time));
        }
        let date = self.next_date(date, days)?;
        Some(date.to_datetime(self.first_time()))
    }

    /// The first matching time of a day.
    pub(crate) fn first_time(&self) -> Time {
        time(
            first(u64::from(self.hours)),
            first(self.minutes),
            first(self.seconds),
        )
    }

    fn last_time(&self) -> Time {
        time(
            last(u64::from(self.hours)),
            last(self.minutes),
            last(self.seconds),
        )
    }

    fn next_time(&self, after: Time) -> Option<Time> {
        let (hours, hour) = (u64::from(self.hours), after.hour());
        if hours >> hour & 1 == 1 {
            if self.minutes >> after.minute() & 1 == 1
                && let Some(second) = above(self.seconds, after.second())
            {
                return Some(time(hour, after.minute(), second));
            }
            if let Some(minute) = above(self.minutes, after.minute()) {
                return Some(time(hour, minute, first(self.seconds)));
            }
        }
        let hour = above(hours, hour)?;
        Some(time(hour, first(self.minutes), first(self.seconds)))
    }

    /// The first matching date later than `after`; `days` are those that match in its month.
    fn next_date(&self, after: Date, days: u32) -> Option<Date> {
        let last_year = after.year().saturating_add(HORIZON_YEARS).min(9_999);
        let (mut year, mut month) = (after.year(), after.month());
        if let Some(day) = above(u64::from(days), after.day()) {
            return Date::new(year, month, day).ok();
        }
        loop {
            match above(u64::from(self.months), month) {
                Some(next) => month = next,
                None => {
                    year += 1;
                    month = first(u64::from(self.months));
                }
            }
            if year > last_year {
                return None;
            }
            let days = self.days_in(year, month);
            if days != 0 {
                return Date::new(year, month, first(u64::from(days))).ok();
            }
        }
    }

    /// The matching days of a month; none if the month does not match.
    fn days_in(&self, year: i16, month: i8) -> u32 {
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let Ok(first_day) = Date::new(year, month, 1) else {
            return 0;
        };
        let existing = ((1_u64 << (first_day.days_in_month() + 1)) - 2) as u32;
        let weekdays = if self.weekdays == Self::ALL_WEEKDAYS {
            u32::MAX
        } else {
            // Six weeks of the mask, moved so that the first of the month is at bit 1.
            let weeks = u64::from(self.weekdays) * EVERY_WEEK;
            (weeks >> first_day.weekday().to_sunday_zero_offset() << 1) as u32
        };
        let matching = if self.either_day {
            self.days | weekdays
        } else {
            self.days & weekdays
        };
        matching & existing
    }

    /// The shortest time between two fires, in wall-clock seconds; exact.
    pub(crate) fn shortest_interval(&self) -> i64 {
        let (hours, minutes) = (u64::from(self.hours), self.minutes);
        let second_span = i64::from(last(self.seconds) - first(self.seconds));
        let minute_span = i64::from(last(minutes) - first(minutes)) * 60 + second_span;
        let day_span = self.last_time().duration_since(self.first_time()).as_secs();
        [
            closest(self.seconds),
            closest(minutes).map(|gap| gap * 60 - second_span),
            closest(hours).map(|gap| gap * 3_600 - minute_span),
            Some(self.closest_days() * SECONDS_PER_DAY - day_span),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(1)
    }

    /// The fewest days from one matching date to the next, over a whole Gregorian cycle.
    fn closest_days(&self) -> i64 {
        let mut shortest = i64::from(i32::MAX);
        let mut previous: Option<Date> = None;
        for year in 2000..=2000 + GREGORIAN_CYCLE_YEARS {
            let mut months = u64::from(self.months);
            while months != 0 && shortest > 1 {
                let month = first(months);
                months &= months - 1;
                let days = u64::from(self.days_in(year, month));
                if days == 0 {
                    continue;
                }
                let date = |day| Date::constant(year, month, day);
                let since = |previous| date(first(days)).duration_since(previous).as_hours() / 24;
                let gaps = [closest(days), previous.map(since)];
                shortest = gaps.into_iter().flatten().fold(shortest, i64::min);
                previous = Some(date(last(days)));
            }
        }
        shortest
    }
}

/// The lowest bit of a mask that is not empty.
pub(crate) fn first(mask: u64) -> i8 {
    mask.trailing_zeros() as i8
}

fn last(mask: u64) -> i8 {
    63 - mask.leading_zeros() as i8
}

/// The lowest bit above `value`.
fn above(mask: u64, value: i8) -> Option<i8> {
    let rest = mask & (u64::MAX << value << 1);
    (rest != 0).then(|| first(rest))
}

/// The distance of the closest two bits.
fn closest(mask: u64) -> Option<i64> {
    (1..64).find(|gap| mask & (mask >> gap) != 0)
}

fn time(hour: i8, minute: i8, second: i8) -> Time {
    Time::constant(hour, minute, second, 0)
}
