use std::{fmt, ops::Range};

use crate::Dialect;

/// A field of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Seconds, in [`Dialect::Quartz6`] only.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days of the month.
    DayOfMonth,
    /// Months.
    Month,
    /// Days of the week.
    DayOfWeek,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// Why a text is not a schedule; says where and what is allowed there.
///
/// Spans are byte ranges of the text that was given to [`Spec::parse`](crate::Spec::parse).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The text is longer than [`Spec::MAX_LENGTH`](crate::Spec::MAX_LENGTH).
    #[error("the expression is {length} bytes long: allowed are at most {max}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The greatest length allowed.
        max: usize,
    },
    /// The text does not have as many fields as its dialect.
    #[error("{found} fields found: a {dialect} expression has {expected} ({names})")]
    FieldCount {
        /// How many fields the text has.
        found: usize,
        /// How many the dialect has.
        expected: usize,
        /// The dialect.
        dialect: Dialect,
        /// The names of the fields, in order.
        names: &'static str,
    },
    /// A field cannot be read, or a value in it is out of range.
    #[error("{field} {text:?} (bytes {}-{}): allowed are {allowed}", span.start, span.end)]
    Field {
        /// Which field.
        field: Field,
        /// The part that is wrong.
        text: String,
        /// Where that part is.
        span: Range<usize>,
        /// What the field may hold.
        allowed: &'static str,
    },
    /// A field uses `L`, `W` or `#`.
    #[error(
        "{field} {text:?} (bytes {}-{}): L, W and # are not supported; allowed are {allowed}",
        span.start, span.end
    )]
    Unsupported {
        /// Which field.
        field: Field,
        /// The part that uses it.
        text: String,
        /// Where that part is.
        span: Range<usize>,
        /// What the field may hold.
        allowed: &'static str,
    },
    /// The text begins with `@` but is none of the known words.
    #[error("{text:?} (bytes {}-{}): allowed are {allowed}", span.start, span.end)]
    Word {
        /// The word.
        text: String,
        /// Where it is.
        span: Range<usize>,
        /// The words allowed.
        allowed: &'static str,
    },
    /// The duration after `@every` cannot be read or is out of range.
    #[error("duration {text:?} (bytes {}-{}): allowed are {allowed}", span.start, span.end)]
    Every {
        /// The duration's text.
        text: String,
        /// Where it is.
        span: Range<usize>,
        /// What a duration may be.
        allowed: &'static str,
    },
    /// No date matches, as in 30 February.
    #[error(
        "{field} {text:?} (bytes {}-{}) never happens in the months given: allowed is a day that \
         one of them has",
        span.start, span.end
    )]
    NeverFires {
        /// Which field.
        field: Field,
        /// The field's text.
        text: String,
        /// Where it is.
        span: Range<usize>,
    },
}

impl SpecError {
    /// The field at fault, where it is one.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Field { field, .. }
            | Self::Unsupported { field, .. }
            | Self::NeverFires { field, .. } => Some(*field),
            _ => None,
        }
    }

    /// The bytes at fault, where they are a part of the text.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::TooLong { .. } | Self::FieldCount { .. } => None,
            Self::Field { span, .. }
            | Self::Unsupported { span, .. }
            | Self::Word { span, .. }
            | Self::Every { span, .. }
            | Self::NeverFires { span, .. } => Some(span.clone()),
        }
    }
}
