use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// A time on a wall clock, to the minute: `"07:30"`, from `"00:00"` to `"23:59"`.
///
/// # Examples
///
/// ```
/// use steadfast_notifications::TimeOfDay;
///
/// # fn main() -> Result<(), steadfast_notifications::NotATimeOfDay> {
/// let evening: TimeOfDay = "22:00".parse()?;
/// assert!("07:30".parse::<TimeOfDay>()? < evening);
/// assert_eq!(evening.to_string(), "22:00");
/// assert!("24:00".parse::<TimeOfDay>().is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(Time);

/// A text is no [`TimeOfDay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no time from 00:00 to 23:59, such as 07:30")]
#[non_exhaustive]
pub struct NotATimeOfDay;

impl TimeOfDay {
    /// The first instant at which the clock of a zone shows this time on a date: the first of two
    /// passes, or the transition that skips it.
    pub(crate) fn first_on(self, date: Date, zone: &TimeZone) -> Timestamp {
        self.on(date, zone).0
    }

    /// The last instant at which the clock of a zone shows this time on a date: the second of two
    /// passes, or the transition that skips it.
    pub(crate) fn last_on(self, date: Date, zone: &TimeZone) -> Timestamp {
        self.on(date, zone).1
    }

    fn on(self, date: Date, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(self.0));
        let offset = ambiguous.offset();
        let earlier = ambiguous.earlier().unwrap_or(Timestamp::MAX);
        let later = ambiguous.later().unwrap_or(Timestamp::MAX);
        let AmbiguousOffset::Gap { after, .. } = offset else {
            return (earlier, later);
        };
        // A time in a gap, read by the offset from after it, is before the gap.
        let mut transitions = zone.following(earlier).map(|found| found.timestamp());
        let skipped = transitions.find(|at| zone.to_offset(*at) == after);
        let skipped = skipped.unwrap_or(later);
        (skipped, skipped)
    }
}

impl FromStr for TimeOfDay {
    type Err = NotATimeOfDay;

    fn from_str(text: &str) -> Result<Self, NotATimeOfDay> {
        let &[h1, h2, b':', m1, m2] = text.as_bytes() else {
            return Err(NotATimeOfDay);
        };
        let number = |tens: u8, ones: u8| match (tens, ones) {
            (b'0'..=b'9', b'0'..=b'9') => i8::try_from((tens - b'0') * 10 + ones - b'0').ok(),
            _ => None,
        };
        let time = number(h1, h2).zip(number(m1, m2));
        time.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
            .map(Self)
            .ok_or(NotATimeOfDay)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn text_is_two_digits_colon_two_digits() {
        for good in ["00:00", "09:05", "23:59"] {
            assert_eq!(good.parse::<TimeOfDay>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "9:05",
            "09:5",
            "24:00",
            "23:60",
            "-1:00",
            "+1:00",
            "09:00 ",
            "09.00",
            "٠٩:٠٠",
            "09:00:00",
            "ab:cd",
        ] {
            assert_eq!(bad.parse::<TimeOfDay>(), Err(NotATimeOfDay), "{bad:?}");
        }
    }

    #[test]
    fn skipped_time_is_its_transition_and_a_repeated_one_has_two_passes() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let on = |day: Date, text: &str| {
            let time: TimeOfDay = text.parse().unwrap();
            let (first, last) = (time.first_on(day, &berlin), time.last_on(day, &berlin));
            (first.to_string(), last.to_string())
        };
        let both = |at: &str| (at.to_owned(), at.to_owned());
        // 02:00 to 03:00 is skipped, at 01:00 UTC.
        let spring = date(2027, 3, 28);
        assert_eq!(on(spring, "01:59"), both("2027-03-28T00:59:00Z"));
        for skipped in ["02:00", "02:30", "02:59", "03:00"] {
            assert_eq!(on(spring, skipped), both("2027-03-28T01:00:00Z"));
        }
        assert_eq!(on(spring, "03:01"), both("2027-03-28T01:01:00Z"));
        // 02:00 to 03:00 comes twice.
        let autumn = date(2027, 10, 31);
        let twice = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(
            on(autumn, "02:30"),
            twice("2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z")
        );
        assert_eq!(on(autumn, "03:00"), both("2027-10-31T02:00:00Z"));
    }
}
