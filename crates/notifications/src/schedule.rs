use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ChannelKind, ScheduleId, UserId};

/// When and what to notify one user of, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Names the schedule.
    pub id: ScheduleId,
    /// Starts at one and grows by one with each change.
    pub version: u64,
    /// Who owns the schedule and receives its notifications.
    pub user_id: UserId,
    /// When it fires: a cron expression in `dialect`, `@every 90s`, or one of the `@daily` family.
    pub cron: String,
    /// How `cron` is read.
    pub dialect: Dialect,
    /// The time zone whose wall clock `cron` is about: a name of the tz database.
    pub tz: String,
    /// The title of each notification, with placeholders that each fire fills in by the clock of
    /// `tz`: `{{scheduled_for}}`, `{{date}}`, `{{time}}`, `{{weekday}}`, `{{tz}}` and
    /// `{{schedule_id}}`; `{{ {{ }}` stands for the two braces.
    pub title: String,
    /// The text of each notification, with the same placeholders.
    pub body: String,
    /// How each notification reaches the user.
    pub channels: Vec<ChannelKind>,
    /// What happens to occurrences that were missed while nothing ran.
    pub misfire: Misfire,
    /// Whether it fires at all; a paused schedule is a disabled one.
    pub enabled: bool,
    /// When it was created.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
}

/// How a cron expression is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Dialect {
    /// Five fields, weekdays 0 to 7 where 0 and 7 are Sunday.
    #[default]
    #[serde(rename = "posix5")]
    Posix5,
    /// Six fields with seconds first, weekdays 1 to 7 where 1 is Sunday.
    #[serde(rename = "quartz6")]
    Quartz6,
}

/// What happens to occurrences that were missed while nothing ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Misfire {
    /// They are dropped.
    Skip,
    /// The latest of them fires, late.
    #[default]
    Once,
    /// Each of them fires, late, within the scheduler's bounds.
    All,
}

/// What a user says to create a [`Schedule`]; not validated yet.
///
/// Only `cron`, `tz` and `title` are required when it is deserialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewSchedule {
    /// See [`Schedule::cron`].
    pub cron: String,
    /// See [`Schedule::dialect`]; five fields by default.
    #[serde(default)]
    pub dialect: Dialect,
    /// See [`Schedule::tz`].
    pub tz: String,
    /// See [`Schedule::title`].
    pub title: String,
    /// See [`Schedule::body`]; empty by default.
    #[serde(default)]
    pub body: String,
    /// The names of [`ChannelKind`]s, `["ws"]` by default.
    #[serde(default = "default_channels")]
    pub channels: Vec<String>,
    /// See [`Schedule::misfire`]; the latest missed one fires by default.
    #[serde(default)]
    pub misfire: Misfire,
    /// See [`Schedule::enabled`]; true by default.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
}

/// A partial change of a [`Schedule`]; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SchedulePatch {
    /// See [`Schedule::cron`].
    pub cron: Option<String>,
    /// See [`Schedule::dialect`].
    pub dialect: Option<Dialect>,
    /// See [`Schedule::tz`].
    pub tz: Option<String>,
    /// See [`Schedule::title`].
    pub title: Option<String>,
    /// See [`Schedule::body`].
    pub body: Option<String>,
    /// The names of [`ChannelKind`]s.
    pub channels: Option<Vec<String>>,
    /// See [`Schedule::misfire`].
    pub misfire: Option<Misfire>,
    /// See [`Schedule::enabled`].
    pub enabled: Option<bool>,
}

impl Dialect {
    /// The dialect's name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Posix5 => "posix5",
            Self::Quartz6 => "quartz6",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Posix5, Self::Quartz6]
            .into_iter()
            .find(|dialect| dialect.name() == name)
    }
}

impl Misfire {
    /// The policy's name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Skip, Self::Once, Self::All]
            .into_iter()
            .find(|misfire| misfire.name() == name)
    }
}

fn default_channels() -> Vec<String> {
    vec![ChannelKind::Ws.name().to_owned()]
}

fn default_enabled() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for dialect in [Dialect::Posix5, Dialect::Quartz6] {
            assert_eq!(json!(dialect), json!(dialect.name()));
            assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
        }
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::All] {
            assert_eq!(json!(misfire), json!(misfire.name()));
            assert_eq!(Misfire::from_name(misfire.name()), Some(misfire));
        }
    }

    #[test]
    fn new_schedule_needs_only_cron_zone_and_title() {
        let new: NewSchedule =
            serde_json::from_value(json!({"cron": "@daily", "tz": "UTC", "title": "Water"}))
                .unwrap();
        assert_eq!(new.dialect, Dialect::Posix5);
        assert_eq!(new.channels, ["ws"]);
        assert_eq!(new.misfire, Misfire::Once);
        assert!(new.enabled && new.body.is_empty());
    }

    #[test]
    fn misspelt_field_is_refused() {
        let patch = serde_json::from_value::<SchedulePatch>(json!({"titel": "Water"}));
        assert!(patch.unwrap_err().to_string().contains("titel"));
    }
}
