use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::{ChannelKind, TimeOfDay};

/// The most times of day that a [`Digest`] has.
pub const MAX_DIGEST_TIMES: usize = 6;

/// How a user wants to be notified: when not to be interrupted, what to get together, and where.
///
/// They govern deliveries to channels that interrupt. The notification itself is stored, and
/// pushed to the user's connected clients, at once and always; see
/// [`plan`](Preferences::plan).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preferences {
    /// The time zone of the times below: a name of the tz database.
    pub tz: String,
    /// When not to be interrupted.
    pub quiet_hours: Option<QuietHours>,
    /// When to get what has gathered, in one message; each by itself without it.
    pub digest: Option<Digest>,
    /// Where a notification goes that names no channels itself.
    pub channels: Vec<ChannelKind>,
    /// Starts at one, which is that of a user who never set any, and grows by one with each
    /// change.
    pub version: u64,
    /// When they were changed last; never if they are the default.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub updated_at: Option<Timestamp>,
}

/// The part of the day in which nothing that is not urgent interrupts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuietHours {
    /// When they begin.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "22:00"))]
    pub from: TimeOfDay,
    /// When they end: on the next day, if that is not later in the day than they begin.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "07:00"))]
    pub to: TimeOfDay,
    /// The days on which they begin.
    pub days: Vec<Weekday>,
}

/// The times at which a user gets what has gathered since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Digest {
    /// From one to [`MAX_DIGEST_TIMES`] times of each day.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub at: Vec<TimeOfDay>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Preferences {
    /// Those of a user who never set any: UTC, no quiet hours, no digest, live push only.
    #[must_use]
    pub fn unset() -> Self {
        Self {
            tz: "UTC".to_owned(),
            quiet_hours: None,
            digest: None,
            channels: vec![ChannelKind::Ws],
            version: 1,
            updated_at: None,
        }
    }
}

impl Weekday {
    /// The days of a week.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];

    /// The day's name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    /// The day of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.name() == name)
    }

    /// The day of a date.
    pub(crate) fn of(date: civil::Date) -> Self {
        match date.weekday() {
            civil::Weekday::Monday => Self::Mon,
            civil::Weekday::Tuesday => Self::Tue,
            civil::Weekday::Wednesday => Self::Wed,
            civil::Weekday::Thursday => Self::Thu,
            civil::Weekday::Friday => Self::Fri,
            civil::Weekday::Saturday => Self::Sat,
            civil::Weekday::Sunday => Self::Sun,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_has_the_names_of_the_contract() {
        let preferences = Preferences {
            quiet_hours: Some(QuietHours {
                from: "22:00".parse().unwrap(),
                to: "07:00".parse().unwrap(),
                days: vec![Weekday::Mon, Weekday::Sun],
            }),
            digest: Some(Digest {
                at: vec!["08:00".parse().unwrap()],
            }),
            ..Preferences::unset()
        };
        let expected = json!({
            "tz": "UTC",
            "quiet_hours": {"from": "22:00", "to": "07:00", "days": ["mon", "sun"]},
            "digest": {"at": ["08:00"]},
            "channels": ["ws"],
            "version": 1,
            "updated_at": null,
        });
        assert_eq!(serde_json::to_value(&preferences).unwrap(), expected);
        let read: Preferences = serde_json::from_value(expected).unwrap();
        assert_eq!(read, preferences);
        for day in Weekday::ALL {
            assert_eq!(json!(day), json!(day.name()));
            assert_eq!(Weekday::from_name(day.name()), Some(day));
        }
    }
}
