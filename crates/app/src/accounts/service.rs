use std::{net::IpAddr, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use steadfast_clock::Clock;
use steadfast_notifications::IdSource;
use uuid::Uuid;

use super::{
    AccountError, AccountStore, Passwords, Principal, Role, Scope, Secret, SecretHash, Session,
    SetupGate, StoredUser, Token, User, Username, Via, login_limits::LoginLimits,
};

/// How long a session lasts.
pub(super) const SESSION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The longest life of a token that has one.
const TOKEN_DAYS: std::ops::RangeInclusive<u32> = 1..=3650;

/// What API tokens begin with, so that scanners of leaked secrets can know them.
const TOKEN_PREFIX: &str = "sf_";

/// Everything that is done with users, sessions and tokens: the rules, over an [`AccountStore`].
pub struct Accounts {
    pub(super) store: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    passwords: Passwords,
    gate: SetupGate,
    limits: LoginLimits,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// A session that has just begun.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub user: User,
    /// The session's key, for the cookie.
    pub session: Secret,
    /// What the CSRF header of this session must say.
    pub csrf: String,
    /// How long the session lasts.
    pub lasts: SignedDuration,
}

impl Accounts {
    /// The rules over `store`; nobody can set up until [`open_setup`](Self::open_setup).
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn new(
        store: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        gate: SetupGate,
    ) -> Result<Self, AccountError> {
        Ok(Self {
            passwords: Passwords::new()?,
            limits: LoginLimits::new(&clock)?,
            store,
            clock,
            ids,
            gate,
        })
    }

    /// Makes a set-up token if there is no administrator, and answers whether it did.
    ///
    /// # Errors
    ///
    /// If the store fails or the token's file cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before its first await has answered.
    pub async fn open_setup(&self) -> Result<bool, AccountError> {
        if self.store.has_admin().await? {
            self.gate.close();
            return Ok(false);
        }
        self.gate.open()?;
        Ok(true)
    }

    /// Whether somebody still has to set up.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn needs_setup(&self) -> Result<bool, AccountError> {
        Ok(!self.store.has_admin().await?)
    }

    /// Makes the first administrator and logs them in: of any number of concurrent calls with the
    /// right token, one succeeds.
    ///
    /// # Errors
    ///
    /// If the token is wrong or has expired, there is an administrator already, or a value breaks
    /// its rule.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, the administrator may or may not have been made; the token stays valid until
    /// one has.
    pub async fn set_up(
        &self,
        token: &str,
        username: &str,
        password: &str,
    ) -> Result<LoggedIn, AccountError> {
        self.gate.check(token)?;
        let admin = self.new_user(username, password, Role::Admin).await?;
        if !self.store.create_first_admin(&admin).await? {
            return Err(AccountError::AlreadySetUp);
        }
        self.gate.close();
        self.begin_session(admin.user).await
    }

    /// Begins a session, if name and password fit.
    ///
    /// # Errors
    ///
    /// If they do not, or the client has failed too often.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, a session that nobody knows the key of may be left; it ends by itself.
    pub async fn log_in(
        &self,
        from: IpAddr,
        username: &str,
        password: &str,
    ) -> Result<LoggedIn, AccountError> {
        let username = Username::parse(username).map_err(|_| AccountError::WrongPassword)?;
        let user = self.check_password(from, &username, password).await?;
        self.begin_session(user).await
    }

    /// The id of the user of that name, if there is one.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn id_of(&self, username: &str) -> Result<Option<Uuid>, AccountError> {
        let Ok(username) = Username::parse(username) else {
            return Ok(None);
        };
        let stored = self.store.user_by_name(&username).await?;
        Ok(stored.map(|stored| stored.user.id))
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, the session may or may not have ended; call it again.
    pub async fn log_out(&self, session: &SecretHash) -> Result<(), AccountError> {
        Ok(self.store.delete_session(session).await?)
    }

    /// Who has the session of that key.
    ///
    /// # Errors
    ///
    /// If there is none, or it has ended.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn by_session(&self, key: &str) -> Result<Principal, AccountError> {
        let found = self.store.session(&SecretHash::of(key)).await?;
        let (session, user) = found.ok_or(AccountError::Unauthenticated)?;
        if session.expires_at <= self.now() {
            return Err(AccountError::Unauthenticated);
        }
        let Session {
            hash, expires_at, ..
        } = session;
        Ok(Principal {
            user,
            via: Via::Session {
                hash,
                csrf: SecretHash::csrf(key),
                expires_at,
            },
        })
    }

    /// Who has the API token.
    ///
    /// # Errors
    ///
    /// If there is none, or it has expired.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn by_token(&self, token: &str) -> Result<Principal, AccountError> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Err(AccountError::Unauthenticated);
        }
        let found = self.store.token(&SecretHash::of(token)).await?;
        let (token, user) = found.ok_or(AccountError::Unauthenticated)?;
        if token.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(AccountError::Unauthenticated);
        }
        let Token {
            id,
            scopes,
            expires_at,
            ..
        } = token;
        Ok(Principal {
            user,
            via: Via::Token {
                id,
                scopes,
                expires_at,
            },
        })
    }

    /// Makes a user.
    ///
    /// # Errors
    ///
    /// If a value breaks its rule or the name is taken.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, the user may or may not have been made.
    pub async fn create_user(
        &self,
        username: &str,
        password: &str,
        role: Role,
    ) -> Result<User, AccountError> {
        let stored = self.new_user(username, password, role).await?;
        if !self.store.create_user(&stored).await? {
            return Err(AccountError::UsernameTaken);
        }
        Ok(stored.user)
    }

    /// Up to `limit` users with ids after `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn users(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<User>, AccountError> {
        Ok(self.store.users(after, limit).await?)
    }

    /// Makes an API token of a user; its secret is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// If a value breaks its rule.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, a token that nobody knows the secret of may be left; it is in the list.
    pub async fn create_token(
        &self,
        user: &User,
        name: &str,
        scopes: &[Scope],
        expires_in_days: Option<u32>,
    ) -> Result<(Token, Secret), AccountError> {
        let invalid = |field, detail: &str| AccountError::Invalid {
            field,
            detail: detail.to_owned(),
        };
        let name = name.trim();
        if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(invalid("name", "must be 1 to 100 characters of one line"));
        }
        if scopes.is_empty() {
            return Err(invalid("scopes", "must name at least one scope"));
        }
        if expires_in_days.is_some_and(|days| !TOKEN_DAYS.contains(&days)) {
            return Err(invalid("expires_in_days", "must be 1 to 3650"));
        }
        let now = self.now();
        let secret = Secret::generate(TOKEN_PREFIX)?;
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let token = Token {
            id: self.ids.next_id(),
            hash: secret.hash(),
            user_id: user.id,
            name: name.to_owned(),
            scopes,
            created_at: now,
            expires_at: expires_in_days
                .map(|days| now + SignedDuration::from_hours(24 * i64::from(days))),
        };
        self.store.create_token(&token).await?;
        Ok((token, secret))
    }

    /// Up to `limit` tokens of a user with ids after `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn tokens(
        &self,
        user: &User,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Token>, AccountError> {
        Ok(self.store.tokens(user.id, after, limit).await?)
    }

    /// Deletes a user's token.
    ///
    /// # Errors
    ///
    /// If there is none, or it is somebody else's.
    ///
    /// # Cancel safety
    ///
    /// Dropped midway, the token may or may not be gone; call it again.
    pub async fn delete_token(&self, user: &User, id: Uuid) -> Result<(), AccountError> {
        if self.store.delete_token(user.id, id).await? {
            Ok(())
        } else {
            Err(AccountError::NoSuchToken)
        }
    }

    /// The user whose name and password these are.
    pub(super) async fn check_password(
        &self,
        from: IpAddr,
        username: &Username,
        password: &str,
    ) -> Result<User, AccountError> {
        self.limits.check(from, username)?;
        let stored = self.store.user_by_name(username).await?;
        let hash = stored.as_ref().map(|stored| stored.password.as_str());
        let fits = self.passwords.verify(password, hash).await?;
        // Again: of many guesses at the same time, those behind the limit must not count.
        self.limits.check(from, username)?;
        match stored {
            Some(stored) if fits => Ok(stored.user),
            _ => {
                self.limits.failed(from, username);
                Err(AccountError::WrongPassword)
            }
        }
    }

    async fn new_user(
        &self,
        username: &str,
        password: &str,
        role: Role,
    ) -> Result<StoredUser, AccountError> {
        let username = Username::parse(username).map_err(|detail| AccountError::Invalid {
            field: "username",
            detail: detail.to_owned(),
        })?;
        let password = self.passwords.hash(password).await?;
        let user = User {
            id: self.ids.next_id(),
            username,
            role,
            created_at: self.now(),
        };
        Ok(StoredUser { user, password })
    }

    async fn begin_session(&self, user: User) -> Result<LoggedIn, AccountError> {
        let secret = Secret::generate("")?;
        let created_at = self.now();
        let expires_at = created_at + SESSION;
        let session = Session {
            hash: secret.hash(),
            user_id: user.id,
            created_at,
            expires_at,
        };
        self.store.create_session(&session).await?;
        Ok(LoggedIn {
            user,
            csrf: SecretHash::csrf(secret.expose()),
            session: secret,
            lasts: SESSION,
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::try_from(self.clock.wall()).unwrap_or(Timestamp::MAX);
        // As precise as it is stored, so that an answer says what a later one will say.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests;
