//! From text to masks: the `cron` crate checks the values and expands them; what it gets wrong
//! (weekday numbers, fields run together) is dealt with before it sees the text.

use std::{ops::Range, str::FromStr, time::Duration};

use cron::TimeUnitSpec;
use jiff::civil::DateTime;

use super::{Field, Fields, Kind, SpecError};
use crate::Dialect;

const WORDS: &str = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and \
                     @every with a duration";
const DURATIONS: &str = "whole days, hours, minutes and seconds such as 90s or 1h30m, from 1s \
                         to 366d";
const LONGEST_EVERY: Duration = Duration::from_secs(366 * 86_400);

/// One field of the text.
#[derive(Clone, Copy)]
struct Token<'a> {
    field: Field,
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn error(&self, dialect: Dialect) -> SpecError {
        self.error_at(self.text, self.start, dialect)
    }

    fn error_at(&self, text: &str, start: usize, dialect: Dialect) -> SpecError {
        SpecError::Field {
            field: self.field,
            text: text.into(),
            span: start..start + text.len(),
            allowed: allowed(self.field, dialect),
        }
    }
}

/// Parses `text`, already known to be of an acceptable length.
pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Kind, SpecError> {
    let tokens = split(text);
    match tokens.first() {
        Some((start, word)) if word.starts_with('@') => parse_word(text, *start, word, &tokens),
        _ => parse_fields(&tokens, dialect).map(Kind::Fields),
    }
}

fn parse_word(
    text: &str,
    start: usize,
    word: &str,
    tokens: &[(usize, &str)],
) -> Result<Kind, SpecError> {
    let fields = match word.to_ascii_lowercase().as_str() {
        "@every" => return parse_every(text, start + word.len(), &tokens[1..]),
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => "",
    };
    if fields.is_empty() || tokens.len() > 1 {
        let text = text.trim_ascii_end();
        return Err(SpecError::Word {
            text: text[start..].into(),
            span: start..text.len(),
            allowed: WORDS,
        });
    }
    parse_fields(&split(fields), Dialect::Posix5).map(Kind::Fields)
}

fn parse_every(text: &str, end: usize, tokens: &[(usize, &str)]) -> Result<Kind, SpecError> {
    let period = match tokens {
        [(_, duration)] => parse_duration(duration),
        _ => None,
    };
    period.map(Kind::Every).ok_or_else(|| {
        let text = text.trim_ascii_end();
        let start = tokens.first().map_or(end, |(start, _)| *start);
        SpecError::Every {
            text: text[start..].into(),
            span: start..text.len(),
            allowed: DURATIONS,
        }
    })
}

/// Reads `1d2h3m4s`: every unit at most once, in this order, in either case.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let mut rest = text.as_str();
    let mut total = Duration::ZERO;
    for (unit, seconds) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 && rest[digits..].starts_with(unit) {
            let count: u32 = rest[..digits].parse().ok()?;
            total += Duration::from_secs(u64::from(count) * seconds);
            rest = &rest[digits + 1..];
        }
    }
    let in_range = total >= Duration::from_secs(1) && total <= LONGEST_EVERY;
    (rest.is_empty() && in_range).then_some(total)
}

fn parse_fields(tokens: &[(usize, &str)], dialect: Dialect) -> Result<Fields, SpecError> {
    let (fields, names) = layout(dialect);
    if tokens.len() != fields.len() {
        return Err(SpecError::FieldCount {
            found: tokens.len(),
            expected: fields.len(),
            dialect,
            names,
        });
    }
    let tokens: Vec<Token<'_>> = fields
        .iter()
        .zip(tokens)
        .map(|(&field, &(start, text))| Token { field, text, start })
        .collect();

    // Six fields for `cron`, whose weekdays are those of Quartz.
    let mut texts: Vec<String> = Vec::with_capacity(6);
    if dialect == Dialect::Posix5 {
        texts.push("0".into());
    }
    for token in &tokens {
        check_shape(token, dialect)?;
        texts.push(match (dialect, token.field) {
            (Dialect::Posix5, Field::DayOfWeek) => expand_weekdays(token)?,
            _ => token.text.into(),
        });
    }
    let schedule = cron::Schedule::from_str(&texts.join(" "))
        .map_err(|_| culprit(&tokens, &texts, dialect))?;
    compile(&schedule, &tokens, dialect)
}

fn compile(
    schedule: &cron::Schedule,
    tokens: &[Token<'_>],
    dialect: Dialect,
) -> Result<Fields, SpecError> {
    let starred = |field: Field| {
        tokens
            .iter()
            .any(|token| token.field == field && token.text.starts_with('*'))
    };
    let fields = Fields {
        seconds: mask(schedule.seconds()),
        minutes: mask(schedule.minutes()),
        hours: mask(schedule.hours()) as u32,
        days: mask(schedule.days_of_month()) as u32,
        months: mask(schedule.months()) as u16,
        weekdays: (mask(schedule.days_of_week()) >> 1) as u8,
        either_day: dialect == Dialect::Posix5
            && !starred(Field::DayOfMonth)
            && !starred(Field::DayOfWeek),
        interval: starred(Field::Second) || starred(Field::Minute) || starred(Field::Hour),
    };
    if fields
        .next(DateTime::constant(2000, 1, 1, 0, 0, 0, 0))
        .is_none()
    {
        let day = tokens.iter().find(|token| token.field == Field::DayOfMonth);
        if let Some(day) = day {
            return Err(SpecError::NeverFires {
                field: day.field,
                text: day.text.into(),
                span: day.span(),
            });
        }
    }
    Ok(fields)
}

fn mask(unit: &impl TimeUnitSpec) -> u64 {
    unit.iter().fold(0, |mask, value| mask | 1 << value)
}

/// Which field `cron` refused: each is tried alone.
fn culprit(tokens: &[Token<'_>], texts: &[String], dialect: Dialect) -> SpecError {
    let lead = texts.len() - tokens.len();
    let refused = tokens.iter().zip(&texts[lead..]).enumerate();
    for (index, (token, text)) in refused {
        let mut alone = ["*"; 6];
        alone[index + lead] = text;
        if cron::Schedule::from_str(&alone.join(" ")).is_err() {
            return token.error(dialect);
        }
    }
    // Each is fine alone, so all are fine together: `cron` reads fields independently.
    tokens[0].error(dialect)
}

/// Checks that a field is a list of `*`, values and ranges with optional steps, so that `cron`
/// cannot read two fields into one or one into two.
fn check_shape(token: &Token<'_>, dialect: Dialect) -> Result<(), SpecError> {
    let day = matches!(token.field, Field::DayOfMonth | Field::DayOfWeek);
    if token.text == "?" && dialect == Dialect::Quartz6 && day {
        return Ok(());
    }
    let mut start = token.start;
    for item in token.text.split(',') {
        if day && is_quartz_special(item) {
            return Err(SpecError::Unsupported {
                field: token.field,
                text: item.into(),
                span: start..start + item.len(),
                allowed: allowed(token.field, dialect),
            });
        }
        if !is_item(item) {
            return Err(token.error_at(item, start, dialect));
        }
        start += item.len() + 1;
    }
    Ok(())
}

fn is_item(item: &str) -> bool {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    let value = |text: &str| is_number(text) || is_name(text);
    let base_fits = base == "*"
        || match base.split_once('-') {
            Some((from, to)) => value(from) && value(to),
            None => value(base),
        };
    base_fits && step.is_none_or(is_number)
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// `L`, `LW`, `15W`, `L-3`, `5L` or `6#3`.
fn is_quartz_special(item: &str) -> bool {
    let upper = item.to_ascii_uppercase();
    let tail = upper.trim_start_matches(|c: char| c.is_ascii_digit());
    item.contains('#') || matches!(tail, "L" | "W" | "LW") || upper.starts_with("L-")
}

/// Rewrites POSIX weekdays as a list of the numbers that `cron` uses for them.
fn expand_weekdays(token: &Token<'_>) -> Result<String, SpecError> {
    if token.text == "*" {
        return Ok("*".into());
    }
    let mut numbers = Vec::new();
    let mut start = token.start;
    for item in token.text.split(',') {
        let days = weekdays_of(item);
        let days = days.ok_or_else(|| token.error_at(item, start, Dialect::Posix5))?;
        numbers.extend(days.map(|day| (day % 7 + 1).to_string()));
        start += item.len() + 1;
    }
    Ok(numbers.join(","))
}

fn weekdays_of(item: &str) -> Option<impl Iterator<Item = usize>> {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, step.parse().ok().filter(|n| (1..=7).contains(n))?),
        None => (item, 1),
    };
    let (from, to) = match base.split_once('-') {
        _ if base == "*" => (0, 6),
        // Sunday ends a week that it does not begin.
        Some((from, to)) => match (weekday(from)?, weekday(to)?) {
            (from, 0) if from > 0 => (from, 7),
            both => both,
        },
        None if item.contains('/') => (weekday(base)?, 6.max(weekday(base)?)),
        None => (weekday(base)?, weekday(base)?),
    };
    (from <= to).then(|| (from..=to).step_by(step))
}

fn weekday(text: &str) -> Option<usize> {
    const NAMES: [[&str; 3]; 7] = [
        ["sun", "sunday", ""],
        ["mon", "monday", ""],
        ["tue", "tuesday", "tues"],
        ["wed", "wednesday", ""],
        ["thu", "thursday", "thurs"],
        ["fri", "friday", ""],
        ["sat", "saturday", ""],
    ];
    if is_number(text) {
        return text.parse().ok().filter(|day| *day <= 7);
    }
    let lower = text.to_ascii_lowercase();
    NAMES
        .iter()
        .position(|names| names.contains(&lower.as_str()))
}

fn split(text: &str) -> Vec<(usize, &str)> {
    let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    text.split_ascii_whitespace()
        .map(|part| (offset(part), part))
        .collect()
}

fn layout(dialect: Dialect) -> (&'static [Field], &'static str) {
    use Field::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second};
    match dialect {
        Dialect::Posix5 => (
            &[Minute, Hour, DayOfMonth, Month, DayOfWeek],
            "minute, hour, day of month, month, day of week",
        ),
        Dialect::Quartz6 => (
            &[Second, Minute, Hour, DayOfMonth, Month, DayOfWeek],
            "second, minute, hour, day of month, month, day of week",
        ),
    }
}

fn allowed(field: Field, dialect: Dialect) -> &'static str {
    match (field, dialect) {
        (Field::Second | Field::Minute, _) => {
            "0-59, *, and lists, ranges and steps: 0,30 10-20 */15"
        }
        (Field::Hour, _) => "0-23, *, and lists, ranges and steps: 9,17 8-18 */2",
        (Field::DayOfMonth, Dialect::Posix5) => {
            "1-31, *, and lists, ranges and steps: 1,15 1-7 */2"
        }
        (Field::DayOfMonth, Dialect::Quartz6) => {
            "1-31, *, ?, and lists, ranges and steps: 1,15 1-7 */2"
        }
        (Field::Month, _) => "1-12, JAN-DEC, *, and lists, ranges and steps: 1,7 MAR-OCT */3",
        (Field::DayOfWeek, Dialect::Posix5) => {
            "0-7 (0 and 7 are Sunday), SUN-SAT, *, and lists, ranges and steps: 1,3 MON-FRI"
        }
        (Field::DayOfWeek, Dialect::Quartz6) => {
            "1-7 (1 is Sunday), SUN-SAT, *, ?, and lists, ranges and steps: 2,4 MON-FRI"
        }
    }
}
