use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{PortError, UserId, Users};

/// Users who exist because a test says so.
#[derive(Debug, Default)]
pub struct FakeUsers(Mutex<HashSet<UserId>>);

impl FakeUsers {
    /// Exactly these users exist.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = UserId>) -> Self {
        Self(Mutex::new(users.into_iter().collect()))
    }
}

#[async_trait]
impl Users for FakeUsers {
    async fn exists(&self, user: UserId) -> Result<bool, PortError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&user))
    }
}
