//! What somebody must show to be erased, and who must stay.

use std::net::IpAddr;

use jiff::SignedDuration;
use uuid::Uuid;

use super::{AccountError, Accounts, Principal, User, Username, Via, service::SESSION};

/// How long after its log-in a session stands for the password.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

impl Accounts {
    /// Whether the request is by a session of the last ten minutes.
    #[must_use]
    pub fn is_fresh(&self, principal: &Principal) -> bool {
        match &principal.via {
            Via::Session { expires_at, .. } => expires_at
                .checked_sub(SESSION)
                .is_ok_and(|began_at| self.now().duration_since(began_at) <= FRESH),
            Via::Token { .. } => false,
        }
    }

    /// Lets through whoever knows the user's password; failures count as attempts to log in.
    ///
    /// # Errors
    ///
    /// If it is wrong, or the client has failed too often.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn confirm(
        &self,
        from: IpAddr,
        user: &User,
        password: &str,
    ) -> Result<(), AccountError> {
        self.check_password(from, &user.username, password)
            .await
            .map(drop)
    }

    /// The user of that name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn named(&self, username: &str) -> Result<Option<User>, AccountError> {
        let Ok(username) = Username::parse(username) else {
            return Ok(None);
        };
        let found = self.store.user_by_name(&username).await?;
        Ok(found.map(|stored| stored.user))
    }

    /// Whether there is such a user, who is not being erased.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn is_present(&self, id: Uuid) -> Result<bool, AccountError> {
        Ok(self.store.user_exists(id).await?)
    }

    /// Whether somebody else is an administrator, and stays one as far as is known.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn has_admin_besides(&self, id: Uuid) -> Result<bool, AccountError> {
        Ok(self.store.has_admin_besides(id).await?)
    }
}
