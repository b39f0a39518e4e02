use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::config::{Config, DatabaseUrl};

/// The folder of the data, held by this process alone.
///
/// Two processes on one folder would each push only what they stored themselves, and would take
/// each other's set-up token away.
#[derive(Debug)]
pub struct DataFolder {
    /// Locked until it is closed, by us or, however we end, by the operating system.
    _lock: File,
}

/// Why the folder of the data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// It, or a file in it, cannot be made.
    #[error("cannot make {path}", path = path.display())]
    Make {
        /// What was to be made.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process works on it.
    #[error("another process holds {path}: one steadfast at a time works on a folder", path = path.display())]
    Held {
        /// The file that it holds.
        path: PathBuf,
    },
    /// It cannot be held.
    #[error("cannot lock {path}", path = path.display())]
    Lock {
        /// The file that was to be held.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DataFolder {
    /// Makes the folder and the database's file where they are missing, for nobody else to look
    /// into, and holds the folder until it is dropped.
    ///
    /// # Errors
    ///
    /// If something cannot be made, or another process holds the folder.
    pub fn open(config: &Config) -> Result<Self, DataFolderError> {
        let folder = &config.data_dir;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| DataFolderError::Make {
            path: folder.clone(),
            source,
        })?;
        let path = folder.join("lock");
        let lock = private_file(&path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DataFolderError::Held { path },
            TryLockError::Error(source) => DataFolderError::Lock { path, source },
        })?;
        if let DatabaseUrl::Sqlite(database) = &config.database {
            // SQLite gives its other files the permissions of this one.
            drop(private_file(database)?);
        }
        Ok(Self { _lock: lock })
    }
}

/// Opens a file, made readable by nobody else where it is missing.
fn private_file(path: &Path) -> Result<File, DataFolderError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path);
    file.map_err(|source| DataFolderError::Make {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::{Key, Layers};

    fn config(folder: &Path) -> Config {
        let folder = folder.to_str().unwrap().to_owned();
        let layers = Layers::defaults().flag(Key::named("data_dir").unwrap(), folder);
        Config::from_layers(&layers).unwrap()
    }

    #[test]
    fn one_at_a_time_holds_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let config = config(&parent.path().join("data"));
        let held = DataFolder::open(&config).unwrap();
        assert!(matches!(
            DataFolder::open(&config),
            Err(DataFolderError::Held { .. })
        ));
        drop(held);
        DataFolder::open(&config).unwrap();
    }

    #[test]
    fn folder_and_database_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let _held = DataFolder::open(&config(&folder)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&folder), mode(&folder.join("steadfast.db"))),
            (0o700, 0o600)
        );
    }
}
