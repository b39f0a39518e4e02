//! The first fire after an instant, of a usual expression at scattered instants of two years.

use std::{error::Error, str::FromStr};

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::{Europe::Berlin, Tz};
use jiff::Timestamp;
use steadfast_scheduler::{Dialect, Spec};

use crate::{
    harness::{Case, Contender},
    machine::versioned,
    run::{numbered, scattered},
};

const INSTANTS: usize = 1_024;

/// 2026-01-01T00:00:00Z, and how long two years are.
const FROM: i64 = 1_767_225_600;
const SECONDS: u64 = 2 * 365 * 86_400;

const NOTE: &str = "`30 9 * * MON-FRI`, compiled before.";

pub(super) fn utc() -> Result<Case, Box<dyn Error>> {
    let ours = ours(jiff::tz::TimeZone::UTC)?.within(40.0);
    Ok(Case::new(ours)
        .against(crons(Utc)?)
        .against(croners(Utc)?)
        .note(NOTE))
}

pub(super) fn zoned() -> Result<Case, Box<dyn Error>> {
    let ours = ours(jiff::tz::TimeZone::get(Berlin.name())?)?.within(150.0);
    Ok(Case::new(ours)
        .against(crons::<Tz>(Berlin)?)
        .against(croners::<Tz>(Berlin)?)
        .note(NOTE))
}

fn ours(tz: jiff::tz::TimeZone) -> Result<Contender, Box<dyn Error>> {
    let spec = Spec::parse("30 9 * * MON-FRI", Dialect::Posix5)?;
    let instants: Vec<_> = seconds()
        .map(Timestamp::from_second)
        .collect::<Result<_, _>>()?;
    Ok(numbered("steadfast-scheduler Spec", move |number| {
        spec.next_after(instants[number as usize % INSTANTS], &tz)
    }))
}

fn crons<Z: TimeZone + 'static>(zone: Z) -> Result<Contender, Box<dyn Error>> {
    let schedule = cron::Schedule::from_str("0 30 9 * * MON-FRI *")?;
    let instants = instants(zone);
    Ok(numbered(versioned("cron"), move |number| {
        schedule.after(&instants[number as usize % INSTANTS]).next()
    }))
}

fn croners<Z: TimeZone + 'static>(zone: Z) -> Result<Contender, Box<dyn Error>> {
    let cron = croner::Cron::from_str("30 9 * * MON-FRI")?;
    let instants = instants(zone);
    Ok(numbered(versioned("croner"), move |number| {
        cron.find_next_occurrence(&instants[number as usize % INSTANTS], false)
    }))
}

fn instants<Z: TimeZone>(zone: Z) -> Vec<DateTime<Z>> {
    let instants = seconds().filter_map(|second| DateTime::from_timestamp(second, 0));
    instants
        .map(|instant| instant.with_timezone(&zone))
        .collect()
}

fn seconds() -> impl Iterator<Item = i64> {
    (0..INSTANTS as u64).map(|number| FROM + scattered(number, SECONDS) as i64)
}
