mod cache;
mod describe;
mod error;
mod fields;
mod parse;
mod zone;

use std::{fmt, hash, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

pub use self::error::{Field, SpecError};
use self::fields::Fields;
use crate::{Dialect, Dst};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// When a job fires: a cron expression or a period, compiled.
///
/// Cheap to clone and to compare; equal specs in use share their memory, and parsing a text that
/// is in use is a look-up. Two specs are equal when their dialects and normalised texts are.
///
/// The next fire is found field by field with bit operations, in time that does not depend on
/// how far away it is, and the search ends: a schedule that never fires is refused by
/// [`parse`](Self::parse). Expressions name wall times, which a [`TimeZone`] and the
/// [`Dst`] rules map to instants; [`next_after`](Self::next_after) depends on nothing else, so
/// that a restart changes nothing.
///
/// `@every 90s` fires at the multiples of its period since the Unix epoch, in every zone alike:
/// neither a restart nor a change back and forth shifts its phase.
///
/// # Examples
///
/// ```
/// use jiff::{Timestamp, tz::TimeZone};
/// use steadfast_scheduler::{Dialect, Spec};
///
/// let spec = Spec::parse("0 9 * * MON-FRI", Dialect::Posix5)?;
/// let berlin = TimeZone::get("Europe/Berlin")?;
/// let saturday: Timestamp = "2026-03-28T12:00:00Z".parse()?;
///
/// assert_eq!(spec.describe(), "every weekday at 09:00");
/// assert_eq!(spec.next_after(saturday, &berlin), Some("2026-03-30T07:00:00Z".parse()?));
///
/// let error = Spec::parse("0 9 32 * *", Dialect::Posix5).unwrap_err();
/// assert!(error.to_string().starts_with(r#"day of month "32" (bytes 4-6): allowed are 1-31"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Spec(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    dialect: Dialect,
    kind: Kind,
}

enum Kind {
    Fields(Fields),
    Every(Duration),
}

impl Spec {
    /// The greatest length of an expression in bytes.
    pub const MAX_LENGTH: usize = 256;

    /// Reads an expression: the fields of `dialect`, or in either dialect one of `@hourly`,
    /// `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`, or `@every` with a
    /// duration in whole seconds such as `90s` or `1h30m`.
    ///
    /// Fields hold `*`, values, ranges, steps and lists; names of months and weekdays are in
    /// English, in either case.
    ///
    /// # Errors
    ///
    /// If the text is too long, a field cannot be read or is out of range, or no date matches.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, SpecError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(SpecError::TooLong {
                length: text.len(),
                max: Self::MAX_LENGTH,
            });
        }
        let normalised = normalise(text);
        cache::get_or_insert(dialect, &normalised, || {
            Ok(Arc::new(Compiled {
                text: normalised.as_str().into(),
                dialect,
                kind: parse::parse(text, dialect)?,
            }))
        })
        .map(Self)
    }

    /// The first fire later than `after`, by the default [`Dst`] rules; `None` if there is none
    /// that a [`Timestamp`] can express.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        self.next_after_with(after, tz, Dst::default())
    }

    /// The first fire later than `after`, by the rules given.
    ///
    /// Strictly later and strictly monotone: no fire is found twice, whatever the zone does, and
    /// starting anew from any instant in between finds the same fires.
    #[must_use]
    pub fn next_after_with(&self, after: Timestamp, tz: &TimeZone, dst: Dst) -> Option<Timestamp> {
        match &self.0.kind {
            Kind::Fields(fields) => zone::next_after(fields, after, tz, dst),
            Kind::Every(period) => next_multiple(after, *period),
        }
    }

    /// The fires later than `after`, in order, by the default [`Dst`] rules.
    pub fn upcoming(&self, after: Timestamp, tz: &TimeZone) -> Upcoming {
        self.upcoming_with(after, tz, Dst::default())
    }

    /// The fires later than `after`, in order, by the rules given.
    pub fn upcoming_with(&self, after: Timestamp, tz: &TimeZone, dst: Dst) -> Upcoming {
        Upcoming {
            spec: self.clone(),
            tz: tz.clone(),
            dst,
            after,
        }
    }

    /// The last fire later than `after` and not later than `until`.
    ///
    /// Found by bisection, so that a long absence costs no more than a short one.
    pub(crate) fn latest_between(
        &self,
        after: Timestamp,
        until: Timestamp,
        tz: &TimeZone,
        dst: Dst,
    ) -> Option<Timestamp> {
        let next = |after| {
            self.next_after_with(after, tz, dst)
                .filter(|fire| *fire <= until)
        };
        let mut latest = next(after)?;
        // No fire later than this one is at or before `until`.
        let mut end = until;
        while latest < end {
            let middle = midpoint(latest, end);
            match next(middle) {
                Some(fire) => latest = fire,
                None if middle == latest => break,
                None => end = middle,
            }
        }
        Some(latest)
    }

    /// The schedule in words, such as `every weekday at 09:00`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.0.kind {
            Kind::Fields(fields) => describe::fields(fields),
            Kind::Every(period) => describe::period(*period),
        }
    }

    /// The shortest time between two fires on a clock without transitions; exact there, over all
    /// dates.
    ///
    /// Compare it with a minimum interval to refuse schedules that fire too often. Where a zone
    /// changes its offset, a single interval may be shorter by the size of that change.
    #[must_use]
    pub fn shortest_interval(&self) -> Duration {
        match &self.0.kind {
            Kind::Fields(fields) => Duration::from_secs(fields.shortest_interval().unsigned_abs()),
            Kind::Every(period) => *period,
        }
    }

    /// The dialect that it was read in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// The expression with single spaces, names in capitals and `@` words in lower case; parsing
    /// it in the same dialect gives an equal spec.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.dialect == other.0.dialect && self.0.text == other.0.text)
    }
}

impl Eq for Spec {}

impl hash::Hash for Spec {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (self.0.dialect, &self.0.text).hash(state);
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({} {:?})", self.0.dialect, self.0.text)
    }
}

/// The fires of a [`Spec`] in order, as [`Spec::upcoming`] returns them.
#[derive(Clone, Debug)]
pub struct Upcoming {
    spec: Spec,
    tz: TimeZone,
    dst: Dst,
    after: Timestamp,
}

impl Iterator for Upcoming {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let next = self.spec.next_after_with(self.after, &self.tz, self.dst)?;
        self.after = next;
        Some(next)
    }
}

impl std::iter::FusedIterator for Upcoming {}

fn normalise(text: &str) -> String {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let joined = words.join(" ");
    if joined.starts_with('@') {
        joined.to_ascii_lowercase()
    } else {
        joined.to_ascii_uppercase()
    }
}

fn next_multiple(after: Timestamp, period: Duration) -> Option<Timestamp> {
    let period = i64::try_from(period.as_secs()).ok()?;
    let passed = floor_second(after).div_euclid(period);
    Timestamp::from_second((passed + 1) * period).ok()
}

/// The whole second that `instant` is in.
fn floor_second(instant: Timestamp) -> i64 {
    // Fits: a timestamp has about 2^38 seconds.
    instant.as_nanosecond().div_euclid(NANOS_PER_SECOND) as i64
}

fn midpoint(earlier: Timestamp, later: Timestamp) -> Timestamp {
    let middle = i64::midpoint(floor_second(earlier), floor_second(later));
    Timestamp::from_second(middle).map_or(earlier, |middle| middle.max(earlier))
}
