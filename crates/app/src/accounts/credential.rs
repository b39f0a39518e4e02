use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::AccountError;

/// A secret of 256 random bits that is handed out once: a session key, an API token, the set-up
/// token. Only its [`SecretHash`] is kept.
///
/// A fast hash is enough here, unlike for passwords, since nobody can guess 256 random bits.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new secret from the operating system's randomness; its text begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn generate(prefix: &str) -> Result<Self, AccountError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| AccountError::Randomness)?;
        Ok(Self(format!(
            "{prefix}{}",
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        )))
    }

    /// The text, to hand out.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a [`Secret`]: what is stored, and looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The hash that was stored as these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `text` is the secret, in a time that does not tell how nearly.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.ct_eq(&Self::of(text).0).into()
    }

    /// What the CSRF header of a session with this key must say: derived, so that nothing needs to
    /// be stored, and useless without the cookie.
    #[must_use]
    pub fn csrf(session: &str) -> String {
        let hash = Sha256::new()
            .chain_update(b"steadfast csrf\0")
            .chain_update(session)
            .finalize();
        BASE64_URL_SAFE_NO_PAD.encode(hash)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_matches_its_hash_and_no_other() {
        let (a, b) = (
            Secret::generate("sf_").unwrap(),
            Secret::generate("sf_").unwrap(),
        );
        assert!(a.expose().starts_with("sf_") && a.expose().len() == 3 + 43);
        assert!(a.hash().matches(a.expose()));
        assert!(!a.hash().matches(b.expose()));
        assert_ne!(SecretHash::csrf(a.expose()), SecretHash::csrf(b.expose()));
    }

    #[test]
    fn secret_is_not_printed() {
        let secret = Secret::generate("").unwrap();
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains(secret.expose()));
    }
}
