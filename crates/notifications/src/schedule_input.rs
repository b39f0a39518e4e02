use std::time::Duration;

use crate::{
    ChannelKind, Dialect, Invalid, MAX_BODY, MAX_TITLE, Misfire, NewSchedule, Schedule,
    SchedulePatch, template, timetable::Timetable, validation::Findings,
};

/// The fields of a schedule that its user chooses, new or changed, before they are checked.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleInput {
    pub(crate) cron: String,
    pub(crate) dialect: Dialect,
    pub(crate) tz: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) channels: Vec<String>,
    pub(crate) misfire: Misfire,
}

impl ScheduleInput {
    /// What `current` becomes under `patch`.
    pub(crate) fn patched(current: &Schedule, patch: &SchedulePatch) -> Self {
        let text = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        let channels = || {
            current
                .channels
                .iter()
                .map(|channel| channel.name().to_owned())
        };
        Self {
            cron: text(&patch.cron, &current.cron),
            dialect: patch.dialect.unwrap_or(current.dialect),
            tz: text(&patch.tz, &current.tz),
            title: text(&patch.title, &current.title),
            body: text(&patch.body, &current.body),
            channels: patch
                .channels
                .clone()
                .unwrap_or_else(|| channels().collect()),
            misfire: patch.misfire.unwrap_or(current.misfire),
        }
    }

    /// The channels, if everything is as it should be.
    pub(crate) fn validate(&self, min_interval: Duration) -> Result<Vec<ChannelKind>, Invalid> {
        let mut findings = Findings::default();
        Timetable::checked(
            &self.cron,
            self.dialect,
            &self.tz,
            min_interval,
            &mut findings,
        );
        findings.title(&self.title);
        findings.body(&self.body);
        for (pointer, text, max) in [
            ("/title", &self.title, MAX_TITLE),
            ("/body", &self.body, MAX_BODY),
        ] {
            template::check(pointer, text, max, &self.tz, &mut findings);
        }
        let channels = findings.channels(&self.channels);
        findings.finish()?;
        Ok(channels)
    }
}

impl From<NewSchedule> for ScheduleInput {
    fn from(new: NewSchedule) -> Self {
        Self {
            cron: new.cron,
            dialect: new.dialect,
            tz: new.tz,
            title: new.title,
            body: new.body,
            channels: new.channels,
            misfire: new.misfire,
        }
    }
}
