use std::time::Duration;

use jiff::{Timestamp, ZonedDateTime};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    Dialect, Invalid, MAX_BODY, MAX_TITLE, Schedule, ScheduleId,
    template::{self, Fired},
    timetable::Timetable,
    validation::Findings,
};

/// The most fires that one preview shows.
pub const MAX_PREVIEW_FIRES: u32 = 100;

/// Asks what an expression means and when it would fire; not validated yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewRequest {
    /// See [`Schedule::cron`].
    pub cron: String,
    /// See [`Schedule::dialect`]; five fields by default.
    #[serde(default)]
    pub dialect: Dialect,
    /// See [`Schedule::tz`].
    pub tz: String,
    /// After which instant; now by default.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub from: Option<Timestamp>,
    /// How many fires, from 1 to [`MAX_PREVIEW_FIRES`]; five by default.
    #[serde(default = "default_count")]
    pub count: u32,
    /// See [`Schedule::title`]; to be filled in as by the first fire.
    #[serde(default)]
    pub title: Option<String>,
    /// See [`Schedule::body`]; to be filled in as by the first fire.
    #[serde(default)]
    pub body: Option<String>,
}

/// What an expression means and when it would fire.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    /// The expression in words.
    pub description: String,
    /// The next fires on the zone's clock, in JSON as RFC 3339 with the zone's offset; fewer than
    /// asked for where time ends.
    #[serde(serialize_with = "rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub next_fires: Vec<ZonedDateTime>,
    /// The title of the first fire's notification, if one was sent along. The id of the schedule,
    /// which there is not yet, is all zeros.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text of the first fire's notification, if one was sent along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A schedule as its user sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleView {
    /// The stored schedule; its fields stand beside `next_fires` in JSON.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The next fires on the zone's clock, in JSON as RFC 3339 with the zone's offset; empty
    /// while it is paused.
    #[serde(serialize_with = "rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub next_fires: Vec<ZonedDateTime>,
}

impl PreviewRequest {
    pub(crate) fn preview(
        &self,
        from: Timestamp,
        min_interval: Duration,
    ) -> Result<Preview, Invalid> {
        let mut findings = Findings::default();
        let timetable = Timetable::checked(
            &self.cron,
            self.dialect,
            &self.tz,
            min_interval,
            &mut findings,
        );
        if !(1..=MAX_PREVIEW_FIRES).contains(&self.count) {
            findings.add("/count", format!("must be from 1 to {MAX_PREVIEW_FIRES}"));
        }
        if let Some(title) = &self.title {
            findings.title(title);
            template::check("/title", title, MAX_TITLE, &self.tz, &mut findings);
        }
        if let Some(body) = &self.body {
            findings.body(body);
            template::check("/body", body, MAX_BODY, &self.tz, &mut findings);
        }
        let timetable = findings.finish_with(timetable)?;
        let next_fires = timetable.next_fires(from, self.count as usize);
        let first = next_fires.first().map_or(from, ZonedDateTime::timestamp);
        let no_id = ScheduleId::new(uuid::Uuid::nil());
        let fired = Fired::new(first, timetable.tz.clone(), &self.tz, no_id);
        let fill_in = |text: &Option<String>, max| {
            let text = text.as_ref()?;
            fired.fill_in(text, max).ok()
        };
        Ok(Preview {
            description: timetable.spec.describe(),
            title: fill_in(&self.title, MAX_TITLE),
            body: fill_in(&self.body, MAX_BODY),
            next_fires,
        })
    }
}

fn default_count() -> u32 {
    5
}

fn rfc3339<S: Serializer>(fires: &[ZonedDateTime], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(fires.iter().map(|fire| {
        let fire = fire.timestamp().display_with_offset(fire.offset());
        fire.to_string()
    }))
}
