use std::{fmt, str::FromStr};

/// How an expression is read.
///
/// It is always explicit, because the same text means different days in different dialects:
/// `1-5` is Monday to Friday in [`Posix5`](Self::Posix5) and Sunday to Thursday in
/// [`Quartz6`](Self::Quartz6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Five fields: minute, hour, day of month, month, day of week. The default, and the one for
    /// what users type.
    ///
    /// Weekdays are 0–7, where 0 and 7 are Sunday, or names. When both day fields are
    /// restricted, a day that matches *either* fires; a field that begins with `*` is
    /// unrestricted (as in Vixie's cron and POSIX).
    #[default]
    Posix5,
    /// Six fields: second, minute, hour, day of month, month, day of week.
    ///
    /// Weekdays are 1–7, where 1 is Sunday, or names. `?` is accepted in the day fields and means
    /// `*`. A day must match *both* day fields.
    Quartz6,
}

impl Dialect {
    /// The name under which the dialect is stored: `posix5` or `quartz6`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Posix5 => "posix5",
            Self::Quartz6 => "quartz6",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a [`Dialect`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown dialect {text:?}: allowed are posix5 and quartz6")]
pub struct UnknownDialect {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "posix5" => Ok(Self::Posix5),
            "quartz6" => Ok(Self::Quartz6),
            _ => Err(UnknownDialect { text: text.into() }),
        }
    }
}
