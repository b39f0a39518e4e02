//! Titles and texts of schedules with placeholders, `{{date}}`, that each fire fills in.
//!
//! A placeholder is a name of [`PLACEHOLDERS`] between `{{` and `}}`, with or without spaces around
//! it; `{{ {{ }}` is the two braces themselves. Everything else stands for itself, so that a text
//! without `{{` is its own result.

use std::fmt;

use jiff::{SignedDuration, Timestamp, ZonedDateTime, tz::TimeZone};
use thiserror::Error;
use tracing::warn;

use crate::{
    MAX_BODY, MAX_TITLE, Schedule, ScheduleId, timetable::named_zone, validation::Findings,
};

/// What may stand between `{{` and `}}`.
const PLACEHOLDERS: [&str; 6] = [
    "scheduled_for",
    "date",
    "time",
    "weekday",
    "tz",
    "schedule_id",
];

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// The most of a placeholder that an error repeats, in characters.
const MAX_REPEATED: usize = 40;

/// A text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TemplateError {
    #[error(
        "`{{{{` at character {at} is not closed by `}}}}`; write `{{{{ {{{{ }}}}` for the braces"
    )]
    Unclosed { at: usize },
    #[error(
        "has an unknown placeholder {name:?} at character {at}; there are: {}; \
         write `{{{{ {{{{ }}}}` for the braces",
        PLACEHOLDERS.join(", ")
    )]
    Unknown { name: String, at: usize },
    #[error("has up to {length} characters when it is filled in, at most {max} are allowed")]
    TooLong { length: usize, max: usize },
}

/// What a fire fills in.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    /// The planned instant on the schedule's clock.
    at: ZonedDateTime,
    /// The schedule's zone as its user wrote it.
    tz: String,
    id: ScheduleId,
}

impl Fired {
    pub(crate) fn new(at: Timestamp, zone: TimeZone, tz: &str, id: ScheduleId) -> Self {
        Self {
            at: at.to_zoned_datetime(zone),
            tz: tz.to_owned(),
            id,
        }
    }

    /// Fills in a text that may have no more than `max` characters then.
    pub(crate) fn fill_in(&self, text: &str, max: usize) -> Result<String, TemplateError> {
        let filled = self.substitute(text)?;
        match filled.chars().count() {
            // A text as it was written has been looked at already.
            length if length > max && text.contains(OPEN) => {
                Err(TemplateError::TooLong { length, max })
            }
            _ => Ok(filled),
        }
    }

    fn substitute(&self, text: &str) -> Result<String, TemplateError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once(OPEN) {
            let at = || text[..text.len() - inside.len()].chars().count() - 1;
            let (name, after) = inside
                .split_once(CLOSE)
                .ok_or_else(|| TemplateError::Unclosed { at: at() })?;
            let value = self.value(name.trim());
            let value = value.ok_or_else(|| TemplateError::Unknown {
                name: name.trim().chars().take(MAX_REPEATED).collect(),
                at: at(),
            })?;
            filled.push_str(before);
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&self, name: &str) -> Option<String> {
        let Self { at, tz, id } = self;
        Some(match name {
            "scheduled_for" => at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "date" => at.strftime("%Y-%m-%d").to_string(),
            "time" => at.strftime("%H:%M").to_string(),
            "weekday" => at.strftime("%A").to_string(),
            "tz" => tz.clone(),
            "schedule_id" => id.to_string(),
            OPEN => OPEN.to_owned(),
            _ => return None,
        })
    }
}

/// Adds what is wrong with a template of a title or a text to `findings`, the length of what it may
/// become among that: on a clock, all values but the day of the week are as long at any time.
pub(crate) fn check(pointer: &str, text: &str, max: usize, tz: &str, findings: &mut Findings) {
    // What is too long as it is has been found already.
    if !text.contains(OPEN) || text.chars().count() > max {
        return;
    }
    let zone = named_zone(tz).unwrap_or(TimeZone::UTC);
    let day = |n| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24_i64 * n);
    let id = ScheduleId::new(uuid::Uuid::nil());
    let week = (0..7).map(|n| Fired::new(day(n), zone.clone(), tz, id));
    let filled: Result<Vec<_>, _> = week.map(|fired| fired.fill_in(text, usize::MAX)).collect();
    let error = match filled {
        Err(error) => error,
        Ok(filled) => {
            let lengths = filled.iter().map(|filled| filled.chars().count());
            match lengths.max().unwrap_or_default() {
                length if length > max => TemplateError::TooLong { length, max },
                _ => return,
            }
        }
    };
    findings.add(pointer, error.to_string());
}

/// The title and the text of a schedule's notification.
///
/// What cannot be filled in, because another version stored it or the zone is gone, is as it was
/// written: a notification with braces in it is better than none.
pub(crate) fn title_and_body(schedule: &Schedule, scheduled_for: Timestamp) -> (String, String) {
    let Schedule {
        id,
        tz,
        title,
        body,
        ..
    } = schedule;
    if !title.contains(OPEN) && !body.contains(OPEN) {
        return (title.clone(), body.clone());
    }
    let as_written = |field: &str, text: &str, why: &dyn fmt::Display| {
        warn!(schedule = %id, field, %why, "a template stays as it was written");
        text.to_owned()
    };
    let Some(zone) = named_zone(tz) else {
        let why = "its time zone is not in the tz database";
        return (
            as_written("title", title, &why),
            as_written("body", body, &why),
        );
    };
    let fired = Fired::new(scheduled_for, zone, tz, *id);
    let fill_in = |field: &str, text: &str, max| {
        let filled = fired.fill_in(text, max);
        filled.unwrap_or_else(|error| as_written(field, text, &error))
    };
    (
        fill_in("title", title, MAX_TITLE),
        fill_in("body", body, MAX_BODY),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired() -> Fired {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at: Timestamp = "2027-01-15T08:00:00.25Z".parse().unwrap();
        Fired::new(
            at,
            zone,
            "Europe/Berlin",
            ScheduleId::new(uuid::Uuid::nil()),
        )
    }

    fn filled(text: &str) -> String {
        fired().fill_in(text, 1_000).unwrap()
    }

    #[test]
    fn placeholders_are_filled_in_by_the_clock_of_the_zone() {
        for (text, expected) in [
            ("{{scheduled_for}}", "2027-01-15T09:00:00+01:00"),
            ("{{date}} {{ time }}", "2027-01-15 09:00"),
            ("{{weekday}}!{{\ttz\n}}", "Friday!Europe/Berlin"),
            ("{{schedule_id}}", "00000000-0000-0000-0000-000000000000"),
            ("a {{ {{ }}date}} b", "a {{date}} b"),
            ("{{date}}}}", "2027-01-15}}"),
            ("☕{{time}}☕", "☕09:00☕"),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
    }

    #[test]
    fn every_placeholder_has_a_value() {
        for name in PLACEHOLDERS {
            assert!(fired().value(name).is_some(), "{name}");
        }
    }

    #[test]
    fn text_without_two_open_braces_is_its_own_result() {
        for text in [
            "",
            "plain",
            "{date}",
            "}} { }}",
            "a\n{b}\u{1f980}",
            "{ {date}}",
        ] {
            assert_eq!(filled(text), text);
        }
    }

    #[test]
    fn what_is_no_template_is_pointed_at() {
        for (text, at) in [("{{date", 1), ("ü{{", 2), ("{{date}} {{ time }", 10)] {
            let unclosed = TemplateError::Unclosed { at };
            assert_eq!(fired().fill_in(text, 99), Err(unclosed), "{text}");
        }
        for (text, name, at) in [
            ("{{}}", "", 1),
            ("ü {{ Date }}", "Date", 3),
            ("{{{date}}}", "{date", 1),
            ("{{date}} {{7*7}}", "7*7", 10),
            ("{{ {{date}} }}", "{{date", 1),
        ] {
            let name = name.to_owned();
            let unknown = TemplateError::Unknown { name, at };
            assert_eq!(fired().fill_in(text, 99), Err(unknown), "{text}");
        }
        let long = format!("{{{{{}}}}}", "x".repeat(3_000));
        let error = fired().fill_in(&long, 99).unwrap_err().to_string();
        assert!(error.len() < 250, "{error}");
        assert!(error.contains("there are: scheduled_for, date,"), "{error}");
        assert!(error.contains("`{{ {{ }}`"), "{error}");
    }

    #[test]
    fn length_counts_when_it_is_filled_in_on_the_longest_day() {
        let checked = |text: &str, max| {
            let mut findings = Findings::default();
            check("/title", text, max, "UTC", &mut findings);
            findings.finish().map_err(|invalid| invalid.to_string())
        };
        assert_eq!(checked("{{ weekday }}", 13), Ok(()));
        let refused = checked("{{weekday}}{{scheduled_for}}", 33).unwrap_err();
        assert!(refused.contains("has up to 34 characters"), "{refused}");
        assert_eq!(checked("{{weekday}}{{scheduled_for}}", 34), Ok(()));
        assert!(checked("{{nonsense}}", 99).is_err());
    }
}
