use std::sync::atomic::{AtomicU64, Ordering};

use crate::{PortError, Secret, SecretSource};

/// Secrets that anybody can guess: `secret-1`, `secret-2` and so on.
#[derive(Debug, Default)]
pub struct FakeSecrets(AtomicU64);

impl FakeSecrets {
    /// A source that has given none yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl SecretSource for FakeSecrets {
    fn next_secret(&self) -> Result<Secret, PortError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Secret::new(format!("secret-{number}")))
    }
}
