use std::{fmt, sync::Arc};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::AsyncLock;

use crate::{
    NewPreferences, PortError, PreferenceStore, Preferences, PreferencesError, PreferencesPatch,
    PutOutcome, UserId, wall,
};

/// How often a change without an expected version is tried against other processes.
const MAX_ATTEMPTS: u32 = 16;

/// What users do with their [`Preferences`].
///
/// # Guarantees
///
/// - Everybody has preferences: whoever never set any has [`Preferences::unset`].
/// - Changes of one user's are serialised: each is applied to what the one before left, none is
///   dropped, and each accepted one grows the version by one.
/// - A change is about what is planned after it. What is held already goes when it was planned to
///   go, and is not lost.
/// - What is not valid is refused with every field at fault, and nothing is stored.
pub struct UserPreferences {
    store: Arc<dyn PreferenceStore>,
    clock: Arc<dyn Clock>,
    locks: AsyncLock<UserId>,
}

impl UserPreferences {
    /// Works on a store, by the machine's clock.
    #[must_use]
    pub fn new(store: Arc<dyn PreferenceStore>) -> Self {
        Self {
            store,
            clock: Arc::new(SystemClock),
            locks: AsyncLock::builder()
                .name("preferences of a user")
                .build()
                .unwrap_or_default(),
        }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// A user's preferences.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](PreferencesError::Store).
    pub async fn get(&self, user: UserId) -> Result<Preferences, PreferencesError> {
        let found = self.store.get(user).await;
        let found = found.map_err(failed("read preferences"))?;
        Ok(found.unwrap_or_else(Preferences::unset))
    }

    /// Replaces a user's preferences, if the version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has replaced everything or nothing.
    ///
    /// # Errors
    ///
    /// [`VersionMismatch`](PreferencesError::VersionMismatch),
    /// [`Validate`](PreferencesError::Validate) with every field at fault,
    /// [`Contended`](PreferencesError::Contended), [`Lock`](PreferencesError::Lock),
    /// [`Store`](PreferencesError::Store).
    pub async fn replace(
        &self,
        user: UserId,
        new: &NewPreferences,
        expected: Option<u64>,
    ) -> Result<Preferences, PreferencesError> {
        self.change(user, expected, |_| new.clone()).await
    }

    /// Changes what `patch` names, if the version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// As [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// As [`replace`](Self::replace).
    pub async fn update(
        &self,
        user: UserId,
        patch: &PreferencesPatch,
        expected: Option<u64>,
    ) -> Result<Preferences, PreferencesError> {
        let patched = |current: &_| NewPreferences::patched(current, patch);
        self.change(user, expected, patched).await
    }

    async fn change(
        &self,
        user: UserId,
        expected: Option<u64>,
        new: impl Fn(&Preferences) -> NewPreferences + Send + Sync,
    ) -> Result<Preferences, PreferencesError> {
        let locked = self.locks.lock(user).await;
        let _guard = locked.map_err(PreferencesError::Lock)?;

        for _ in 0..MAX_ATTEMPTS {
            let current = self.get(user).await?;
            let actual = current.version;
            if let Some(expected) = expected.filter(|expected| *expected != actual) {
                return Err(PreferencesError::VersionMismatch { expected, actual });
            }
            let changed = new(&current).checked(&current);
            let changed = Preferences {
                updated_at: Some(wall::now(&*self.clock)),
                ..changed.map_err(PreferencesError::Validate)?
            };
            let put = self.store.put(user, &changed, actual).await;
            match put.map_err(failed("store preferences"))? {
                PutOutcome::Stored => return Ok(changed),
                // Another process was faster: look at what it left.
                PutOutcome::Stale => {}
            }
        }
        let attempts = MAX_ATTEMPTS;
        Err(PreferencesError::Contended { attempts })
    }
}

impl fmt::Debug for UserPreferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPreferences").finish_non_exhaustive()
    }
}

fn failed(operation: &'static str) -> impl FnOnce(PortError) -> PreferencesError {
    move |source| PreferencesError::Store { operation, source }
}
