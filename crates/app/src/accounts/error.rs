use std::time::Duration;

use super::StoreError;

/// Why something about accounts could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// A value breaks a rule.
    #[error("{field} {detail}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// There is an administrator already.
    #[error("the service is set up already")]
    AlreadySetUp,
    /// The set-up token is not the one of this start.
    #[error("the set-up token is wrong")]
    WrongSetupToken,
    /// The set-up token is older than an hour.
    #[error("the set-up token has expired; restart the service to get a new one")]
    SetupTokenExpired,
    /// The name or the password is wrong; which one is not told.
    #[error("the username or the password is wrong")]
    WrongPassword,
    /// Too many tries for that account or from that address.
    #[error("too many attempts to log in")]
    TooManyAttempts {
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// The session or token does not exist, or has ended.
    #[error("the session or token is unknown or has expired")]
    Unauthenticated,
    /// A user has that name already.
    #[error("the username is taken")]
    UsernameTaken,
    /// No such token, or it belongs to somebody else.
    #[error("no such token")]
    NoSuchToken,
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Randomness,
    /// Passwords cannot be hashed at the moment.
    #[error("cannot hash the password: {detail}")]
    Hash {
        /// Why.
        detail: String,
    },
    /// The set-up token cannot be written.
    #[error("cannot write the set-up token to {path}", path = path.display())]
    SetupTokenFile {
        /// Where to.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The limits of attempts to log in are not valid.
    #[error("cannot limit the attempts to log in")]
    Limits {
        /// What is wrong with them.
        #[source]
        source: steadfast_sync::ConfigError,
    },
    /// The store failed.
    #[error("the account store failed")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl From<StoreError> for AccountError {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}
