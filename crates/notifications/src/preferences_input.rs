use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    ChannelKind, Digest, Invalid, MAX_DIGEST_TIMES, Preferences, QuietHours, TimeOfDay, Weekday,
    timetable::named_zone, validation::Findings,
};

/// What a user says to replace [`Preferences`]; not validated yet.
///
/// What is left out when it is deserialised becomes what it is for a user who never set any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewPreferences {
    /// See [`Preferences::tz`].
    pub tz: String,
    /// See [`Preferences::quiet_hours`].
    pub quiet_hours: Option<NewQuietHours>,
    /// See [`Preferences::digest`].
    pub digest: Option<NewDigest>,
    /// The names of [`ChannelKind`]s.
    pub channels: Vec<String>,
}

/// A partial change of [`Preferences`]: what is `None` stays as it is.
///
/// In JSON a field that is left out stays as it is; `quiet_hours` and `digest` are ended by
/// `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreferencesPatch {
    /// See [`Preferences::tz`].
    pub tz: Option<String>,
    /// See [`Preferences::quiet_hours`]; `Some(None)` ends them.
    #[serde(deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<Option<NewQuietHours>>,
    /// See [`Preferences::digest`]; `Some(None)` ends it.
    #[serde(deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub digest: Option<Option<NewDigest>>,
    /// The names of [`ChannelKind`]s.
    pub channels: Option<Vec<String>>,
}

/// What a user says to set [`QuietHours`]; not validated yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewQuietHours {
    /// A [`TimeOfDay`].
    pub from: String,
    /// A [`TimeOfDay`], another one than `from`.
    pub to: String,
    /// The names of [`Weekday`]s; every day by default.
    #[serde(default = "every_day")]
    pub days: Vec<String>,
}

/// What a user says to set a [`Digest`]; not validated yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewDigest {
    /// From one to [`MAX_DIGEST_TIMES`] different [`TimeOfDay`]s.
    pub at: Vec<String>,
}

impl NewPreferences {
    /// What `current` becomes under `patch`.
    pub(crate) fn patched(current: &Preferences, patch: &PreferencesPatch) -> Self {
        let current = Self::from(current);
        let PreferencesPatch {
            tz,
            quiet_hours,
            digest,
            channels,
        } = patch.clone();
        Self {
            tz: tz.unwrap_or(current.tz),
            quiet_hours: quiet_hours.unwrap_or(current.quiet_hours),
            digest: digest.unwrap_or(current.digest),
            channels: channels.unwrap_or(current.channels),
        }
    }

    /// The preferences that follow upon `current`, if everything is as it should be; its time of
    /// change is still that of `current`.
    pub(crate) fn checked(&self, current: &Preferences) -> Result<Preferences, Invalid> {
        let mut findings = Findings::default();
        if named_zone(&self.tz).is_none() {
            findings.add("/tz", "is not a time zone such as Europe/Berlin or UTC");
        }
        let quiet_hours = self.quiet_hours.as_ref();
        let quiet_hours = quiet_hours.and_then(|new| new.check(&mut findings));
        let digest = self.digest.as_ref();
        let digest = digest.and_then(|new| new.check(&mut findings));
        let channels = findings.channels(&self.channels);
        findings.finish()?;
        Ok(Preferences {
            tz: self.tz.clone(),
            quiet_hours,
            digest,
            channels,
            version: current.version + 1,
            updated_at: current.updated_at,
        })
    }
}

impl Default for NewPreferences {
    fn default() -> Self {
        Self::from(&Preferences::unset())
    }
}

impl From<&Preferences> for NewPreferences {
    fn from(preferences: &Preferences) -> Self {
        let quiet_hours = preferences.quiet_hours.as_ref();
        let digest = preferences.digest.as_ref();
        Self {
            tz: preferences.tz.clone(),
            quiet_hours: quiet_hours.map(|quiet| NewQuietHours {
                from: quiet.from.to_string(),
                to: quiet.to.to_string(),
                days: names(&quiet.days, Weekday::name),
            }),
            digest: digest.map(|digest| NewDigest {
                at: digest.at.iter().map(ToString::to_string).collect(),
            }),
            channels: names(&preferences.channels, ChannelKind::name),
        }
    }
}

impl NewQuietHours {
    /// The quiet hours, if nothing is wrong with them.
    fn check(&self, findings: &mut Findings) -> Option<QuietHours> {
        let from = time(&self.from, "/quiet_hours/from", findings);
        let to = time(&self.to, "/quiet_hours/to", findings);
        if from.is_some() && from == to {
            let detail = "must be another time than `from`; leave `quiet_hours` out for none";
            findings.add("/quiet_hours/to", detail);
        }
        let pointer = "/quiet_hours/days";
        let days = findings.each(pointer, &self.days, Weekday::ALL.len(), |name| {
            let known = || Weekday::ALL.map(Weekday::name).join(", ");
            Weekday::from_name(name).ok_or_else(|| format!("is no day; there are: {}", known()))
        });
        Some(QuietHours {
            from: from?,
            to: to?,
            days,
        })
    }
}

impl NewDigest {
    /// The digest, if nothing is wrong with it.
    fn check(&self, findings: &mut Findings) -> Option<Digest> {
        if self.at.len() > MAX_DIGEST_TIMES {
            let count = self.at.len();
            let detail = format!("has {count} times, at most {MAX_DIGEST_TIMES} are allowed");
            findings.add("/digest/at", detail);
        }
        let at = findings.each("/digest/at", &self.at, MAX_DIGEST_TIMES, |text| {
            text.parse::<TimeOfDay>().map_err(|error| error.to_string())
        });
        Some(Digest { at })
    }
}

fn time(text: &str, pointer: &str, findings: &mut Findings) -> Option<TimeOfDay> {
    let time = text.parse();
    time.map_err(|error: crate::NotATimeOfDay| findings.add(pointer, error.to_string()))
        .ok()
}

fn names<T: Copy>(of: &[T], name: fn(T) -> &'static str) -> Vec<String> {
    of.iter().map(|item| name(*item).to_owned()).collect()
}

fn every_day() -> Vec<String> {
    names(&Weekday::ALL, Weekday::name)
}

/// Reads what is there, `null` too, as `Some`.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
