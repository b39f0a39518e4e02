use std::{borrow::Cow, fmt, time::Duration};

use sqlx::postgres::PgConnectOptions;

use super::{classify_postgres, remedy::remedy};
use crate::{BackendError, Class, LedgerOperation, MigrationError};

/// Where a server is, and who connects to what there: what its errors name. Never the password.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) address: String,
    pub(super) user: String,
    pub(super) database: String,
}

impl Server {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let address = match options.get_socket() {
            Some(socket) => format!("{}:{port}", socket.display()),
            None => format!("{host}:{port}"),
        };
        let user = options.get_username().to_owned();
        // As the server does it where none is named.
        let database = options.get_database().unwrap_or(&user).to_owned();
        Self {
            address,
            user,
            database,
        }
    }

    pub(super) fn cannot_connect(&self) -> String {
        format!("cannot connect to {self}")
    }

    pub(super) fn no_answer(&self) -> String {
        format!("no answer from {self}")
    }

    /// An error of the driver, of the class that the table says, and with what to do about it.
    pub(super) fn failure(&self, action: String, error: sqlx::Error) -> BackendError {
        let (class, remedy) = (classify_postgres(&error), remedy(&error, self));
        wrap(class, action, remedy, error)
    }

    pub(super) fn ledger(&self, operation: LedgerOperation, error: sqlx::Error) -> MigrationError {
        MigrationError::Ledger {
            operation,
            source: self.failure(format!("{self} refused"), error),
        }
    }

    /// Only an answer of the server says that the migrations were not applied.
    pub(super) fn commit_failed(&self, error: sqlx::Error) -> MigrationError {
        let action = format!("{self} did not confirm");
        let source = match classify_postgres(&error) {
            Class::Transient if error.as_database_error().is_none() => {
                let remedy = "try again: the ledger tells whether it was done";
                wrap(Class::Ambiguous, action, remedy.into(), error)
            }
            _ => self.failure(action, error),
        };
        MigrationError::Ledger {
            operation: LedgerOperation::Commit,
            source,
        }
    }

    /// The server, or whoever holds a lock there, let the lock timeout pass.
    pub(super) fn silent(&self, operation: LedgerOperation, within: Duration) -> MigrationError {
        let action = format!("no answer from {self} within {within:?}");
        MigrationError::Ledger {
            operation,
            source: BackendError::new(Class::Transient, action).with_remedy(
                "see in `pg_stat_activity` what the server waits for, or raise `lock_timeout`",
            ),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres at {}", self.address)
    }
}

/// Wraps an error of the driver without its envelope, which would only repeat the cause.
fn wrap(
    class: Class,
    action: String,
    remedy: Cow<'static, str>,
    error: sqlx::Error,
) -> BackendError {
    let wrapped = BackendError::new(class, action).with_remedy(remedy);
    match error {
        sqlx::Error::Io(error) => wrapped.with_source(error),
        sqlx::Error::Database(error) => wrapped.with_source(error),
        error => wrapped.with_source(error),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn address_names_host_and_port_or_socket() {
        let address = |url| Server::of(&PgConnectOptions::from_str(url).unwrap()).address;
        assert_eq!(address("postgres://db.example:5433/x"), "db.example:5433");
        assert_eq!(address("postgres://u@h/x?host=/run/pg&port=7"), "/run/pg:7");
    }

    #[test]
    fn database_that_is_not_named_is_the_one_of_the_user() {
        let server = Server::of(&PgConnectOptions::from_str("postgres://app:secret@h").unwrap());
        assert_eq!(
            (&*server.user, &*server.database),
            ("app", "app"),
            "{server:?}"
        );
        assert!(!format!("{server:?}").contains("secret"));
    }
}
