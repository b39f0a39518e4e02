//! What somebody can do about each error: one sentence, beside the class in `classify`.

use std::{borrow::Cow, io::ErrorKind};

use sqlx::Error;

use super::server::Server;

/// For a host name without an address.
pub(super) const UNRESOLVED: &str =
    "correct the host name in the URL, or the name service of this machine";
/// For a server that does not answer.
pub(super) const SILENT: &str = "make sure that a Postgres server listens there that is not \
    overloaded, and that no firewall on the way drops packets, or raise `connect_timeout`";
/// For a pool without a free connection.
pub(super) const BUSY: &str = "give connections back sooner, or raise `max_connections`";

const NO_POSTGRES: &str = "make sure that it is a Postgres server that listens there";

/// What to do about an error of the driver; empty where nothing more is known than it says itself.
pub(super) fn remedy(error: &Error, server: &Server) -> Cow<'static, str> {
    match error {
        Error::Database(database) => {
            let code = database.code();
            of_sqlstate(code.as_deref().unwrap_or_default(), server)
        }
        Error::Io(error) => of_io(error.kind()).into(),
        Error::Protocol(_) => NO_POSTGRES.into(),
        Error::Tls(_) | Error::Configuration(_) => {
            "set `sslmode=disable` in the URL and reach the server through a private network or a \
             tunnel: this program is built without TLS"
                .into()
        }
        _ => "".into(),
    }
}

fn of_io(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => {
            "start the server there, or correct host and port in the URL"
        }
        ErrorKind::NotFound => "start the server, or correct its socket's directory in the URL",
        ErrorKind::PermissionDenied => "let the user of this process use the server's socket",
        ErrorKind::InvalidInput => "correct the path of the server's socket in the URL",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "check the network between here and the host, or correct the host in the URL"
        }
        _ => {
            "make sure that it is a Postgres server that listens there, and see in its log why it \
             ended the connection"
        }
    }
}

fn of_sqlstate(code: &str, server: &Server) -> Cow<'static, str> {
    let Server { user, database, .. } = server;
    match code {
        "28P01" => format!("correct user `{user}` or the password in the URL").into(),
        "28000" => format!(
            "create user `{user}`, let it in by the server's `pg_hba.conf`, or correct it in the \
             URL"
        )
        .into(),
        "3D000" | "57P04" => {
            format!("create database `{database}`, or correct its name in the URL").into()
        }
        "42501" => {
            format!("grant user `{user}` the rights that it lacks in database `{database}`").into()
        }
        code => of_state_alone(code).into(),
    }
}

fn of_state_alone(code: &str) -> &'static str {
    match code {
        "08P01" => NO_POSTGRES,
        "25006" => "connect to the primary, or let the server write",
        "3F000" => "create the schema, or correct `search_path`",
        "40001" | "40P01" | "55P03" => "see in `pg_locks` who else works on the same tables",
        "53000" | "53400" => "raise the limit of the server that the message names",
        "53100" => "free space on the server's disk",
        "53200" => "free memory on the server",
        "53300" => {
            "end connections that are not needed, or raise `max_connections` of the server or the \
             limit of the role or the database"
        }
        "57014" => "raise `statement_timeout` of the server or the role",
        "57P01" | "57P02" => "see in the server's log who or what ended it",
        "57P03" => "wait until the server has started, or see in its log why it does not",
        "58000" | "58030" => "check the server's disk, and see its log",
        "XX001" | "XX002" => "restore a backup: the server's data is corrupt",
        code if ["22", "23", "42", "0A"].iter().any(|c| code.starts_with(c)) => {
            "correct the SQL, or what it finds in the database"
        }
        _ => "",
    }
}
