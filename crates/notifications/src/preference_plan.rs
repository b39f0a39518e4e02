//! When a notification may interrupt its user: quiet hours and digests, as a pure function.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use crate::{
    ChannelKind, Digest, Dispatch, Preferences, QuietHours, Weekday, timetable::named_zone,
};

/// How often quiet hours may follow one another without a moment in between, which takes a day
/// that a zone skips, or a gap that swallows all that is left open.
const MAX_ADJACENT: usize = 8;

/// When a notification may be delivered to the channels that interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Not before then; never earlier than the time that was planned from.
    pub at: Timestamp,
    /// Whether it goes together with what else is due then.
    pub digest: bool,
}

impl Preferences {
    /// Plans the delivery of a notification that is stored `now`.
    ///
    /// - An urgent one goes at once, by itself, whatever else is set.
    /// - With a digest, it goes with the next one: at the next listed time on the clock of the
    ///   zone, or at the end of the quiet hours into which that falls.
    /// - Without one, it goes at once, or at the end of the quiet hours.
    ///
    /// Quiet hours hold their beginning and not their end. A time that a gap skips stands for the
    /// transition. Of a time that a fold repeats, the first pass begins quiet hours and is the time
    /// of a digest, and the second pass ends quiet hours.
    ///
    /// Quiet hours hold something for less than a day, and so does a digest, but for what the
    /// transitions of the zone add: a gap that skips all that is left open adds a day. A digest that
    /// falls into quiet hours may be held for both. If the zone is gone from the tz database,
    /// nothing is held.
    #[must_use]
    pub fn plan(&self, now: Timestamp, urgent: bool) -> Plan {
        let at_once = Plan {
            at: now,
            digest: false,
        };
        let Some(zone) = named_zone(&self.tz).filter(|_| !urgent) else {
            return at_once;
        };
        let open = |at| match &self.quiet_hours {
            Some(quiet) => quiet.open_from(at, &zone),
            None => at,
        };
        let next_digest = self
            .digest
            .as_ref()
            .and_then(|digest| digest.next(now, &zone, open));
        match next_digest {
            Some(at) => Plan { at, digest: true },
            None => Plan {
                at: open(now),
                digest: false,
            },
        }
    }
}

impl Preferences {
    /// Where and when a notification is delivered that is stored `now`; `kinds` are those that it
    /// names itself.
    pub(crate) fn dispatch(
        &self,
        kinds: Option<Vec<ChannelKind>>,
        now: Timestamp,
        urgent: bool,
    ) -> Dispatch {
        let Plan { at, digest } = self.plan(now, urgent);
        Dispatch {
            kinds: kinds.unwrap_or_else(|| self.channels.clone()),
            at,
            digest,
        }
    }
}

impl QuietHours {
    /// The first instant that is not quiet, from `at` on.
    fn open_from(&self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        let ends = |at: Timestamp| {
            let today = zone.to_datetime(at).date();
            let mut spans = around(today, -2..=1).filter_map(|day| self.beginning_on(day, zone));
            spans.find_map(|(begin, end)| (begin <= at && at < end).then_some(end))
        };
        // Several follow one another without a break at most where days are skipped.
        let open = std::iter::successors(Some(at), |at| ends(*at));
        open.take(MAX_ADJACENT).last().unwrap_or(at)
    }

    /// When those that begin on a day begin and end, if any do.
    fn beginning_on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&Weekday::of(day)) {
            return None;
        }
        let last_day = match self.from < self.to {
            true => day,
            false => day.tomorrow().ok()?,
        };
        let (begin, end) = (
            self.from.first_on(day, zone),
            self.to.last_on(last_day, zone),
        );
        Some((begin, end))
    }
}

impl Digest {
    /// When the next digest goes after `now`: a listed time, as soon as it is `open`.
    fn next(
        &self,
        now: Timestamp,
        zone: &TimeZone,
        open: impl Fn(Timestamp) -> Timestamp,
    ) -> Option<Timestamp> {
        let today = zone.to_datetime(now).date();
        // Those of days before may have been moved to after now, and take this one along.
        let times = around(today, -2..=2)
            .flat_map(|day| self.at.iter().map(move |time| time.first_on(day, zone)));
        times.map(open).filter(|at| *at > now).min()
    }
}

/// The days around a day.
fn around(day: Date, offsets: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = Date> {
    offsets.filter_map(move |offset| day.checked_add(offset.days()).ok())
}
