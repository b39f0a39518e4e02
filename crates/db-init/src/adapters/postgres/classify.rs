use std::io;

use sqlx::Error;

use crate::Class;

/// What an error of Postgres says about the next try.
///
/// | error | class |
/// |---|---|
/// | refused, reset, end of file, timeout, protocol error, `PoolTimedOut`; SQLSTATE 08000 08001 08003 08004 08006 08P01, 53000 53200 53300, 57P01 57P02 57P03, 40001 40P01 55P03, 25006 25P03 | transient |
/// | SQLSTATE 08007 40003; a connection that is lost during a commit | ambiguous |
/// | SQLSTATE 53100 53400 58000 58030 57014; a host name that does not resolve | capped |
/// | all others, among them 28xxx 3D000 3F000 42xxx 22xxx 23xxx 0A000 57P04 XX001 XX002, TLS configuration, a socket without permission | permanent |
///
/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
#[must_use]
pub fn classify_postgres(error: &Error) -> Class {
    match error {
        Error::Database(database) => database
            .code()
            .map_or(Class::Permanent, |code| classify_sqlstate(&code)),
        Error::Io(error) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Class::Permanent,
            _ => Class::Transient,
        },
        Error::Protocol(_) | Error::PoolTimedOut | Error::WorkerCrashed => Class::Transient,
        _ => Class::Permanent,
    }
}

fn classify_sqlstate(code: &str) -> Class {
    match code {
        "08000" | "08001" | "08003" | "08004" | "08006" | "08P01" | "53000" | "53200" | "53300"
        | "57P01" | "57P02" | "57P03" | "40001" | "40P01" | "55P03" | "25006" | "25P03" => {
            Class::Transient
        }
        "08007" | "40003" => Class::Ambiguous,
        "53100" | "53400" | "58000" | "58030" | "57014" => Class::Capped,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_have_the_class_of_the_table() {
        for (codes, class) in [
            (
                "08000 08001 08003 08004 08006 53000 53200 53300 57P01 57P02 57P03 40001 40P01 \
                 55P03 25006 25P03",
                Class::Transient,
            ),
            ("08007 40003", Class::Ambiguous),
            ("53100 53400 58000 58030 57014", Class::Capped),
            (
                "28000 28P01 3D000 3F000 42501 42P01 22001 23505 0A000 57P04 XX001 XX002",
                Class::Permanent,
            ),
        ] {
            for code in codes.split(' ') {
                assert_eq!(classify_sqlstate(code), class, "{code}");
            }
        }
    }

    #[test]
    fn io_errors_are_transient_but_for_permission() {
        let class = |kind: io::ErrorKind| classify_postgres(&Error::Io(kind.into()));
        assert_eq!(class(io::ErrorKind::ConnectionRefused), Class::Transient);
        assert_eq!(class(io::ErrorKind::UnexpectedEof), Class::Transient);
        assert_eq!(class(io::ErrorKind::NotFound), Class::Transient);
        assert_eq!(class(io::ErrorKind::PermissionDenied), Class::Permanent);
    }
}
