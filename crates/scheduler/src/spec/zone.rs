//! From wall times to instants, by our own rules.
//!
//! A zone is a sequence of segments of constant offset, and within a segment wall time and
//! instants are the same but for that offset. What is special happens at the boundaries: a gap
//! skips wall times, a fold repeats them.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::{Fields, floor_second};
use crate::{Dst, Fold, Gap};

/// Wall times of a longer gap do not fire at its end: a skipped day is not caught up.
const LARGEST_GAP_SECONDS: i32 = 3 * 3_600;

/// What interval jobs do: they follow elapsed time.
const ELAPSED: Dst = Dst {
    gap: Gap::Skip,
    fold: Fold::Both,
};

/// Segments walked through at most: more than a zone has within the horizon of a civil search.
const MAX_SEGMENTS: usize = 512;

/// No zone leaves an offset and returns to it sooner.
const SHORTEST_EXCURSION: SignedDuration = SignedDuration::from_hours(3 * 24);

pub(super) fn next_after(
    fields: &Fields,
    after: Timestamp,
    tz: &TimeZone,
    dst: Dst,
) -> Option<Timestamp> {
    let after = Timestamp::from_second(floor_second(after)).ok()?;
    let dst = if fields.interval { ELAPSED } else { dst };
    if dst.gap != Gap::ShiftByGap
        && let Some(next) = next_away_from_transitions(fields, after, tz)
    {
        return Some(next);
    }
    Segment::walk(tz, after).find_map(|segment| segment.next_after(fields, after, dst))
}

/// The common case: neither here nor at the next wall time does a gap or a fold matter.
///
/// A transition in between cannot matter: the wall times that it skips or repeats are later than
/// here, so that a match among them would have been found first.
fn next_away_from_transitions(
    fields: &Fields,
    after: Timestamp,
    tz: &TimeZone,
) -> Option<Timestamp> {
    let offset_here = tz.to_offset(after);
    let here = offset_here.to_datetime(after);
    let next = fields.next(here)?;
    let offset = unambiguous_offset(tz, next)?;
    // A fold here ends with another offset, and does not end again soon.
    let same_segment = offset == offset_here && next.duration_since(here) <= SHORTEST_EXCURSION;
    if !same_segment {
        unambiguous_offset(tz, here)?;
    }
    offset.to_timestamp(next).ok()
}

fn unambiguous_offset(tz: &TimeZone, civil: DateTime) -> Option<Offset> {
    match tz.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => Some(offset),
        _ => None,
    }
}

/// A stretch of time with one offset.
#[derive(Clone, Copy)]
struct Segment {
    start: Timestamp,
    /// The offset that ended at `start`.
    before: Offset,
    offset: Offset,
    /// The transition that ends it and the offset from there on.
    end: Option<(Timestamp, Offset)>,
}

impl Segment {
    /// The segment of `from` and those after it.
    fn walk(tz: &TimeZone, from: Timestamp) -> impl Iterator<Item = Self> {
        let second = SignedDuration::from_secs(1);
        let past = from.checked_add(second).unwrap_or(Timestamp::MAX);
        let offset = tz.to_offset(from);
        let (start, before) = tz
            .preceding(past)
            .next()
            .map_or((Timestamp::MIN, offset), |t| {
                let earlier = t.timestamp().checked_sub(second).unwrap_or(Timestamp::MIN);
                (t.timestamp(), tz.to_offset(earlier))
            });
        let mut transitions = tz.following(from).map(|t| (t.timestamp(), t.offset()));
        let mut next = Some(Self {
            start,
            before,
            offset,
            end: transitions.next(),
        });
        std::iter::from_fn(move || {
            let segment = next.take()?;
            next = segment.end.map(|(start, offset)| Self {
                start,
                before: segment.offset,
                offset,
                end: transitions.next(),
            });
            Some(segment)
        })
        .take(MAX_SEGMENTS)
    }

    /// The first fire in this segment later than `after`.
    fn next_after(&self, fields: &Fields, after: Timestamp, dst: Dst) -> Option<Timestamp> {
        // The wall times before and after the transition at the start.
        let (from, to) = (
            self.before.to_datetime(self.start),
            self.offset.to_datetime(self.start),
        );
        let gap = self.offset.seconds() - self.before.seconds();
        let skipped_after = |earliest: DateTime| {
            fields
                .next(earliest.max(just_before(from)))
                .filter(|skipped| *skipped < to)
        };
        let shifted = match dst.gap {
            Gap::RunAtTransition if after < self.start && gap <= LARGEST_GAP_SECONDS => {
                if skipped_after(just_before(from)).is_some() {
                    return Some(self.start);
                }
                None
            }
            Gap::ShiftByGap if gap > 0 => skipped_after(self.before.to_datetime(after))
                .and_then(|skipped| self.before.to_timestamp(skipped).ok()),
            _ => None,
        };
        let regular = self.next_regular(fields, after, dst.fold, from.max(to), to);
        [shifted, regular].into_iter().flatten().min()
    }

    /// The first fire at a wall time of this segment; `first_pass_end` is the wall time at which
    /// a fold at the start ended its first pass.
    fn next_regular(
        &self,
        fields: &Fields,
        after: Timestamp,
        fold: Fold,
        first_pass_end: DateTime,
        start: DateTime,
    ) -> Option<Timestamp> {
        let earliest = match fold {
            Fold::First => first_pass_end,
            Fold::Last | Fold::Both => start,
        };
        let after = self.offset.to_datetime(after).max(just_before(earliest));
        let civil = fields.next(after)?;
        let fire = self.offset.to_timestamp(civil).ok()?;
        match self.end {
            Some((end, _)) if fire >= end => None,
            Some((end, next)) if fold == Fold::Last && civil >= next.to_datetime(end) => None,
            _ => Some(fire),
        }
    }
}

fn just_before(civil: DateTime) -> DateTime {
    civil
        .checked_sub(SignedDuration::from_secs(1))
        .unwrap_or(DateTime::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Dialect, Kind, Spec};

    #[test]
    fn common_case_agrees_with_the_walk_around_every_transition() {
        let specs = [
            "30 2 * * *",
            "*/20 * * * *",
            "0 0 * * *",
            "15 1 * * SUN",
            "0 3 29 2 *",
        ];
        let from: Timestamp = "2000-01-01T00:00:00Z".parse().unwrap();
        let to: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut compared = 0;
        for zone in [
            "Europe/Berlin",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Pacific/Apia",
        ] {
            let tz = TimeZone::get(zone).unwrap();
            for transition in tz.following(from).take_while(|t| t.timestamp() < to) {
                for (text, step) in specs.iter().zip(0..) {
                    let spec = Spec::parse(text, Dialect::Posix5).unwrap();
                    let Kind::Fields(fields) = &spec.0.kind else {
                        panic!("{text} is made of fields")
                    };
                    for minutes in (-200..200).step_by(17 + step) {
                        let after = transition.timestamp() + SignedDuration::from_mins(minutes);
                        let dst = if fields.interval {
                            ELAPSED
                        } else {
                            Dst::default()
                        };
                        let walked = Segment::walk(&tz, after)
                            .find_map(|segment| segment.next_after(fields, after, dst));
                        if let Some(quick) = next_away_from_transitions(fields, after, &tz) {
                            assert_eq!(Some(quick), walked, "{text} in {zone} after {after}");
                            compared += 1;
                        }
                    }
                }
            }
        }
        assert!(compared > 10_000, "only {compared}");
    }

    #[test]
    fn no_zone_returns_to_an_offset_sooner_than_the_shortest_excursion() {
        let mut returns = 0;
        for name in jiff::tz::db().available() {
            let tz = TimeZone::get(name.as_str()).unwrap();
            for segment in Segment::walk(&tz, Timestamp::MIN) {
                let returned = segment.end.filter(|(_, next)| *next == segment.before);
                if let Some((end, _)) = returned.filter(|_| segment.offset != segment.before) {
                    let away = end.duration_since(segment.start);
                    assert!(away > SHORTEST_EXCURSION, "{} at {end}", name.as_str());
                    returns += 1;
                }
            }
        }
        assert!(returns > 10_000, "only {returns}");
    }
}
