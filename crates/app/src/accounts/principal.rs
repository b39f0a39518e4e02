use jiff::Timestamp;
use uuid::Uuid;

use super::{Scope, SecretHash, User};

/// Who makes a request, and by what.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Who.
    pub user: User,
    /// By what.
    pub via: Via,
}

/// What a request was authenticated by.
#[derive(Clone, Debug)]
pub enum Via {
    /// A session cookie of a browser: all that the user may; writes need the CSRF header.
    Session {
        /// The session's key.
        hash: SecretHash,
        /// What the CSRF header must say.
        csrf: String,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// An API token: what its scopes allow.
    Token {
        /// The token's id.
        id: Uuid,
        /// What it allows.
        scopes: Vec<Scope>,
        /// When it ends, if ever.
        expires_at: Option<Timestamp>,
    },
}

impl Principal {
    /// Whether the request may do what `wanted` allows.
    #[must_use]
    pub fn has_scope(&self, wanted: Scope) -> bool {
        match &self.via {
            Via::Session { .. } => true,
            Via::Token { scopes, .. } => scopes.iter().any(|scope| scope.covers(wanted)),
        }
    }

    /// When the credential ends, if ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.via {
            Via::Session { expires_at, .. } => Some(*expires_at),
            Via::Token { expires_at, .. } => *expires_at,
        }
    }
}
