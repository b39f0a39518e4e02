use std::time::Duration;

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};
use steadfast_scheduler::Spec;

use crate::{Dialect, Schedule, validation::Findings};

/// An expression and a time zone that are known to be valid.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    pub(crate) spec: Spec,
    pub(crate) tz: TimeZone,
}

impl Timetable {
    /// Checks both, adds what is wrong to `findings`, and is there if nothing was.
    pub(crate) fn checked(
        cron: &str,
        dialect: Dialect,
        tz: &str,
        min_interval: Duration,
        findings: &mut Findings,
    ) -> Option<Self> {
        let spec = match Spec::parse(cron, dialect.into()) {
            Ok(spec) if spec.shortest_interval() < min_interval => {
                let shortest = spec.shortest_interval();
                let detail =
                    format!("fires every {shortest:?}, at most every {min_interval:?} is allowed");
                findings.add("/cron", detail);
                None
            }
            Ok(spec) => Some(spec),
            Err(error) => {
                findings.add("/cron", error.to_string());
                None
            }
        };
        let zone = named_zone(tz);
        if zone.is_none() {
            findings.add("/tz", "is not a time zone such as Europe/Berlin or UTC");
        }
        Some(Self {
            spec: spec?,
            tz: zone?,
        })
    }

    /// The timetable of a stored schedule; `None` if a later tz database no longer has its zone.
    pub(crate) fn of(schedule: &Schedule) -> Option<Self> {
        let spec = Spec::parse(&schedule.cron, schedule.dialect.into()).ok()?;
        let tz = named_zone(&schedule.tz)?;
        Some(Self { spec, tz })
    }

    /// Up to `count` fires after `from`, on the zone's clock.
    pub(crate) fn next_fires(&self, from: Timestamp, count: usize) -> Vec<ZonedDateTime> {
        let fires = self.spec.upcoming(from, &self.tz).take(count);
        fires
            .map(|fire| fire.to_zoned_datetime(self.tz.clone()))
            .collect()
    }
}

impl From<Dialect> for steadfast_scheduler::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Posix5 => Self::Posix5,
            Dialect::Quartz6 => Self::Quartz6,
        }
    }
}

/// The zone of that name in the tz database.
pub(crate) fn named_zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    zone.iana_name().is_some().then_some(zone)
}
