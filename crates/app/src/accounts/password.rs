use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        phc::{Output, ParamsString, PasswordHash, Salt},
        try_generate_salt,
    },
};
use steadfast_sync::Semaphore;
use subtle::ConstantTimeEq as _;

use super::AccountError;

/// Hashes and checks passwords with argon2id (RFC 9106).
///
/// Each hash takes 19 MiB and some 50 ms of a core, so only two run at a time, away from the
/// threads that serve requests; the others wait in line. The memory is kept and used again:
/// allocated anew it would be scattered over the allocator's arenas and never given back.
#[derive(Debug)]
pub struct Passwords {
    slots: Arc<Semaphore>,
    workspaces: Arc<Workspaces>,
    /// Checked where there is no such user, so that the answer takes as long as for a wrong
    /// password and does not tell whose accounts exist.
    decoy: String,
}

/// Hashes at the same time.
const SLOTS: usize = 2;

/// What a new password must be.
const RULE: &str = "must be 8 to 256 characters";

impl Passwords {
    /// Ready to hash.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn new() -> Result<Self, AccountError> {
        let slots = Semaphore::new(SLOTS).map_err(hash_error)?;
        let workspaces = Workspaces::default();
        let decoy = hash("a decoy, no account's password", &workspaces)?;
        Ok(Self {
            slots: Arc::new(slots),
            workspaces: Arc::new(workspaces),
            decoy,
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
        self.run(move |workspaces| hash(&password, workspaces))
            .await?
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
        let fits = self
            .run(move |workspaces| verify(&password, &stored, workspaces))
            .await??;
        Ok(fits && exists)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Workspaces) -> R + Send + 'static,
    ) -> Result<R, AccountError> {
        let permit = self.slots.acquire_owned(1).await.map_err(hash_error)?;
        let workspaces = self.workspaces.clone();
        let work = move || {
            let _permit = permit;
            work(&workspaces)
        };
        tokio::task::spawn_blocking(work).await.map_err(hash_error)
    }
}

/// The memory that hashes work in, as many as ran at the same time.
#[derive(Default)]
struct Workspaces(Mutex<Vec<Vec<Block>>>);

impl Workspaces {
    /// Derives a key of the length of `out`.
    fn derive(
        &self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), AccountError> {
        let mut blocks = self.lock().pop().unwrap_or_default();
        blocks.resize(argon2.params().block_count(), Block::new());
        let derived =
            argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut blocks[..]);
        self.lock().push(blocks);
        derived.map_err(hash_error)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Workspaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workspaces({})", self.lock().len())
    }
}

fn hash(password: &str, workspaces: &Workspaces) -> Result<String, AccountError> {
    let (argon2, salt) = (Argon2::default(), try_generate_salt());
    let salt = salt.map_err(|_| AccountError::Randomness)?;
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    workspaces.derive(&argon2, password, &salt, &mut out)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).map_err(hash_error)?,
        salt: Some(Salt::new(&salt).map_err(hash_error)?),
        hash: Some(Output::new(&out).map_err(hash_error)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str, workspaces: &Workspaces) -> Result<bool, AccountError> {
    let incomplete = || hash_error("the stored hash is not complete");
    let stored = PasswordHash::new(stored).map_err(hash_error)?;
    let algorithm = Algorithm::new(stored.algorithm).map_err(hash_error)?;
    let version = Version::try_from(stored.version.ok_or_else(incomplete)?).map_err(hash_error)?;
    let argon2 = Argon2::new(
        algorithm,
        version,
        Params::try_from(&stored).map_err(hash_error)?,
    );
    let (salt, expected) = stored.salt.zip(stored.hash).ok_or_else(incomplete)?;
    let mut out = vec![0; expected.len()];
    workspaces.derive(&argon2, password, &salt, &mut out)?;
    Ok(out.ct_eq(expected.as_bytes()).into())
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

    #[tokio::test]
    async fn hash_is_one_that_argon2_itself_accepts() {
        use argon2::PasswordVerifier as _;

        let stored = Passwords::new()
            .unwrap()
            .hash("correct horse")
            .await
            .unwrap();
        assert!(
            Argon2::default()
                .verify_password(b"correct horse", stored.as_str())
                .is_ok()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_does_not_grow_with_the_number_of_hashes() {
        let passwords = Arc::new(Passwords::new().unwrap());
        let mut hashing = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let passwords = passwords.clone();
            hashing.spawn(async move { passwords.hash("correct horse").await.unwrap() });
        }
        let mut stored = hashing.join_all().await;
        assert!(passwords.workspaces.lock().len() <= SLOTS);
        stored.sort_unstable();
        stored.dedup();
        assert_eq!(stored.len(), 8, "each has a salt of its own");
    }
}
