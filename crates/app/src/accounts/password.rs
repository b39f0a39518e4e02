use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use steadfast_sync::Semaphore;

use super::AccountError;

/// Hashes and checks passwords with argon2id (RFC 9106).
///
/// Each hash takes 19 MiB and some 50 ms of a core, so only a few run at a time, away from the
/// threads that serve requests; the others wait in line.
#[derive(Debug)]
pub struct Passwords {
    slots: Arc<Semaphore>,
    /// Checked where there is no such user, so that the answer takes as long as for a wrong
    /// password and does not tell whose accounts exist.
    decoy: String,
}

/// Hashes at the same time.
const SLOTS: u32 = 2;

/// What a new password must be.
const RULE: &str = "must be 8 to 256 characters";

impl Passwords {
    /// Ready to hash.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn new() -> Result<Self, AccountError> {
        let slots = Semaphore::new(SLOTS as usize).map_err(hash_error)?;
        Ok(Self {
            slots: Arc::new(slots),
            decoy: hash("a decoy, no account's password")?,
        })
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    ///
    /// If the password is shorter than 8 characters or longer than 256, or cannot be hashed.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives its place up; a hash that has begun is finished and thrown away.
    pub async fn hash(&self, password: &str) -> Result<String, AccountError> {
        if !(8..=256).contains(&password.chars().count()) {
            return Err(AccountError::Invalid {
                field: "password",
                detail: RULE.to_owned(),
            });
        }
        let password = password.to_owned();
        self.run(move || hash(&password)).await?
    }

    /// Whether a password is the one behind the PHC string; `None`: there is no such user.
    ///
    /// # Errors
    ///
    /// If the stored hash cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As for [`hash`](Self::hash).
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, AccountError> {
        if password.len() > 4 * 256 {
            return Ok(false);
        }
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let password = password.to_owned();
        let fits = self.run(move || verify(&password, &stored)).await??;
        Ok(fits && exists)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, AccountError> {
        let permit = self.slots.acquire_owned(1).await.map_err(hash_error)?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(hash_error)
    }
}

fn hash(password: &str) -> Result<String, AccountError> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(hash_error)?;
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str) -> Result<bool, AccountError> {
    let stored = PasswordHash::new(stored).map_err(hash_error)?;
    Ok(Argon2::default()
        .verify_password(password.as_bytes(), &stored)
        .is_ok())
}

fn hash_error(error: impl std::fmt::Display) -> AccountError {
    AccountError::Hash {
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn right_password_fits_and_others_do_not() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(
            passwords
                .verify("correct horse", Some(&stored))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("correct horsf", Some(&stored))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("a decoy, no account's password", None)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn too_short_and_too_long_passwords_are_refused() {
        let passwords = Passwords::new().unwrap();
        for password in ["", "1234567", &"x".repeat(257)] {
            let error = passwords.hash(password).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    AccountError::Invalid {
                        field: "password",
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}
