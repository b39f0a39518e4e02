use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
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
    database: Option<DatabaseFile>,
}

/// The database's file, and what it is however it is called.
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    id: FileId,
}

/// Device and inode.
#[derive(Debug, PartialEq, Eq)]
struct FileId(u64, u64);

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
    /// The database's file was deleted, moved away or replaced: what is written now is lost when
    /// the process ends.
    #[error("{path} is no longer the file that was opened: put it back, or restart", path = path.display())]
    Replaced {
        /// Where it was.
        path: PathBuf,
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
        let database = match &config.database {
            DatabaseUrl::Sqlite(path) => Some(DatabaseFile::make(path)?),
            DatabaseUrl::Postgres(_) => None,
        };
        Ok(Self {
            _lock: lock,
            database,
        })
    }

    /// Looks whether the database's file is still the one that was there at the opening: SQLite
    /// itself goes on with a file that has no name any more.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn check(&self) -> Result<(), DataFolderError> {
        match &self.database {
            Some(file) if !file.is_there() => Err(DataFolderError::Replaced {
                path: file.path.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl DatabaseFile {
    /// Makes the file where it is missing; SQLite gives its other files the permissions of it.
    fn make(path: &Path) -> Result<Self, DataFolderError> {
        let metadata = private_file(path)?.metadata();
        let metadata = metadata.map_err(|source| DataFolderError::Make {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            id: FileId::of(&metadata),
        })
    }

    fn is_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| FileId::of(&metadata) == self.id)
    }
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
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
    fn database_that_was_replaced_is_noticed() {
        let parent = tempfile::tempdir().unwrap();
        let held = DataFolder::open(&config(parent.path())).unwrap();
        held.check().unwrap();
        let (path, aside) = (parent.path().join("steadfast.db"), parent.path().join("x"));
        std::fs::rename(&path, &aside).unwrap();
        assert!(held.check().is_err(), "it is gone");
        std::fs::copy(&aside, &path).unwrap();
        assert!(held.check().is_err(), "it is another");
        std::fs::rename(&aside, &path).unwrap();
        held.check().unwrap();
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
