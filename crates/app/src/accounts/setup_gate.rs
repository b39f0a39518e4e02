use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};

use super::{AccountError, Secret, SecretHash};

/// Guards the set-up of the first administrator with a one-time token, written to a file that only
/// the service's user can read.
///
/// There is no default token: it is made at each start that finds no administrator, is valid for
/// an hour, and its file is gone once it was used.
#[derive(Debug)]
pub struct SetupGate {
    clock: Arc<dyn Clock>,
    file: PathBuf,
    token: Mutex<Option<(SecretHash, Instant)>>,
}

const VALID: Duration = Duration::from_secs(3600);

impl SetupGate {
    /// A gate that is closed: nobody can set up.
    #[must_use]
    pub fn closed(file: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            file,
            token: Mutex::new(None),
        }
    }

    /// Opens the gate: a new token replaces any older one.
    ///
    /// # Errors
    ///
    /// If the token's file cannot be written.
    pub fn open(&self) -> Result<(), AccountError> {
        let secret = Secret::generate("")?;
        write_private(&self.file, secret.expose()).map_err(|source| {
            AccountError::SetupTokenFile {
                path: self.file.clone(),
                source,
            }
        })?;
        *self.lock() = Some((secret.hash(), self.clock.monotonic() + VALID));
        Ok(())
    }

    /// The file that holds the token while the gate is open.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether `token` is the one that opens.
    ///
    /// # Errors
    ///
    /// If it is not, has expired, or the gate is closed.
    pub fn check(&self, token: &str) -> Result<(), AccountError> {
        let (hash, expires) = self.lock().ok_or(AccountError::AlreadySetUp)?;
        if !hash.matches(token) {
            return Err(AccountError::WrongSetupToken);
        }
        if self.clock.monotonic() >= expires {
            return Err(AccountError::SetupTokenExpired);
        }
        Ok(())
    }

    /// Closes the gate and deletes the token's file.
    pub fn close(&self) {
        *self.lock() = None;
        if let Err(error) = std::fs::remove_file(&self.file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.file.display(), %error, "cannot delete the set-up token");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(SecretHash, Instant)>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a file that nobody else could read at any moment.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::SystemTime};

    use steadfast_clock::ManualClock;

    use super::*;

    fn gate(folder: &Path) -> (SetupGate, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        (
            SetupGate::closed(folder.join("setup-token"), clock.clone()),
            clock,
        )
    }

    #[test]
    fn row_04_there_is_no_default_secret_and_each_opening_makes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (gate, _) = gate(folder.path());
        assert!(matches!(gate.check(""), Err(AccountError::AlreadySetUp)));

        gate.open().unwrap();
        let first = std::fs::read_to_string(gate.file()).unwrap();
        gate.check(&first).unwrap();
        assert!(matches!(
            gate.check("fallback-secret"),
            Err(AccountError::WrongSetupToken)
        ));

        gate.open().unwrap();
        assert!(matches!(
            gate.check(&first),
            Err(AccountError::WrongSetupToken)
        ));
    }

    #[test]
    fn token_file_is_private_and_gone_once_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (gate, _) = gate(folder.path());
        gate.open().unwrap();
        let mode = std::fs::metadata(gate.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        gate.close();
        assert!(!gate.file().exists());
    }

    #[test]
    fn token_expires_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let (gate, clock) = gate(folder.path());
        gate.open().unwrap();
        let token = std::fs::read_to_string(gate.file()).unwrap();
        clock.advance(VALID - Duration::from_secs(1));
        gate.check(&token).unwrap();
        clock.advance(Duration::from_secs(1));
        assert!(matches!(
            gate.check(&token),
            Err(AccountError::SetupTokenExpired)
        ));
    }
}
