use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Scope, SecretHash, User, Username};

/// A failure of a store, opaque but for whether a later try may help.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct StoreError {
    operation: &'static str,
    transient: bool,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// A failure of `operation`.
    pub fn new(
        operation: &'static str,
        transient: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            transient,
            source: source.into(),
        }
    }

    /// Whether a later try may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

/// A user with what the password is checked against.
#[derive(Clone, Debug)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// The password's hash, a PHC string.
    pub password: String,
}

/// A session: a browser that logged in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its key.
    pub hash: SecretHash,
    /// Whose.
    pub user_id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// An API token, without its secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// Its key.
    pub hash: SecretHash,
    /// Whose.
    pub user_id: Uuid,
    /// What it is called.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Where users, sessions and tokens are kept.
///
/// Each call is one transaction, durable when it returns. A user whose erasure is under way is not
/// found any more, and neither are their sessions and tokens.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Whether anybody can log in as administrator.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn has_admin(&self) -> Result<bool, StoreError>;

    /// Whether there is another administrator than `id`, of whom nobody has asked to be erased.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn has_admin_besides(&self, id: Uuid) -> Result<bool, StoreError>;

    /// Stores the first administrator, unless there is one: of any number of concurrent calls one
    /// answers `true`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn create_first_admin(&self, user: &StoredUser) -> Result<bool, StoreError>;

    /// Stores a user, unless the name is taken: then `false`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn create_user(&self, user: &StoredUser) -> Result<bool, StoreError>;

    /// The user of that name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn user_by_name(&self, username: &Username) -> Result<Option<StoredUser>, StoreError>;

    /// Whether there is a user with that id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn user_exists(&self, id: Uuid) -> Result<bool, StoreError>;

    /// Up to `limit` users with ids after `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn users(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Stores a session.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn create_session(&self, session: &Session) -> Result<(), StoreError>;

    /// The session of that key, ended or not, and its user.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn session(&self, hash: &SecretHash) -> Result<Option<(Session, User)>, StoreError>;

    /// Deletes a session; nothing happens if there is none.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn delete_session(&self, hash: &SecretHash) -> Result<(), StoreError>;

    /// Stores a token.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn create_token(&self, token: &Token) -> Result<(), StoreError>;

    /// The token of that key, ended or not, and its user.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn token(&self, hash: &SecretHash) -> Result<Option<(Token, User)>, StoreError>;

    /// Up to `limit` tokens of a user with ids after `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn tokens(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError>;

    /// Deletes a user's token: `false` if there is none, or it is somebody else's.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn delete_token(&self, user_id: Uuid, id: Uuid) -> Result<bool, StoreError>;
}
