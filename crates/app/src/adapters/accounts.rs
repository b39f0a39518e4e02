//! The notifications' view of who there is.

use std::sync::Arc;

use async_trait::async_trait;
use steadfast_notifications::{PortError, UserId, Users};

use crate::accounts::AccountStore;

/// Users, as the accounts know them.
pub struct AccountUsers {
    store: Arc<dyn AccountStore>,
}

impl std::fmt::Debug for AccountUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountUsers").finish_non_exhaustive()
    }
}

impl AccountUsers {
    /// Users of that store.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Users for AccountUsers {
    async fn exists(&self, user: UserId) -> Result<bool, PortError> {
        self.store.user_exists(user.uuid()).await.map_err(|error| {
            if error.is_transient() {
                PortError::transient(error)
            } else {
                PortError::permanent(error)
            }
        })
    }
}
