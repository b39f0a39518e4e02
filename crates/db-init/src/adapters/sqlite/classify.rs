use sqlx::Error;

use crate::Class;

/// What an error of SQLite says about the next try.
///
/// | result code | class |
/// |---|---|
/// | 5 261 517 773 (`BUSY`), 6 262 (`LOCKED`), 15 (`PROTOCOL`), 264 and 776 (`READONLY_RECOVERY`, `READONLY_ROLLBACK`) | transient |
/// | 7 (`NOMEM`), 10 and its extended codes (`IOERR`) | capped |
/// | all others, among them 1 8 11 13 14 23 26 | permanent |
///
/// After 517 (`BUSY_SNAPSHOT`) it is the whole transaction that must be run again.
/// Codes: <https://www.sqlite.org/rescode.html>.
#[must_use]
pub fn classify_sqlite(error: &Error) -> Class {
    match error {
        Error::Database(database) => database
            .code()
            .and_then(|code| code.parse().ok())
            .map_or(Class::Permanent, classify_code),
        Error::PoolTimedOut | Error::WorkerCrashed => Class::Transient,
        Error::Io(_) => Class::Capped,
        _ => Class::Permanent,
    }
}

fn classify_code(code: i32) -> Class {
    match (code, code & 0xff) {
        (5 | 261 | 517 | 773 | 6 | 262 | 15 | 264 | 776, _) => Class::Transient,
        (7, _) | (_, 10) => Class::Capped,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_have_the_class_of_the_table() {
        for (codes, class) in [
            (
                &[5, 261, 517, 773, 6, 262, 15, 264, 776] as &[i32],
                Class::Transient,
            ),
            (&[7, 10, 266, 522, 778, 3338], Class::Capped),
            (&[1, 8, 11, 13, 14, 23, 26, 19, 1544], Class::Permanent),
        ] {
            for &code in codes {
                assert_eq!(classify_code(code), class, "{code}");
            }
        }
    }
}
