use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why a file cannot serve as a SQLite database; SQLite itself says "unable to open database
/// file" for most of these.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SqliteFileError {
    /// The path names a directory.
    #[error("`{}` is a directory, not a database file", path.display())]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The file's directory does not exist, or is not a directory.
    #[error("`{}` is not a directory, so there can be no database in it", path.display())]
    NoParent {
        /// The directory.
        path: PathBuf,
    },
    /// The directory does not admit new files; SQLite needs one for its log.
    #[error("the directory `{}` is not writable", path.display())]
    DirectoryNotWritable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened for reading and writing.
    #[error("the file `{}` is not writable", path.display())]
    FileNotWritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file is something else than a database.
    #[error("the file `{}` is not a SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is a database, but damaged.
    #[error("the database file `{}` is corrupt", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

/// Finds out what is wrong with `path` after SQLite refused it; gives the error back when the
/// file is not to blame. Blocks on the file system.
pub(super) fn diagnose(path: &Path, error: sqlx::Error) -> Result<SqliteFileError, sqlx::Error> {
    const READONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const CANTOPEN: i32 = 14;
    const NOTADB: i32 = 26;

    let path = path.to_owned();
    match primary_code(&error) {
        Some(NOTADB) => Ok(SqliteFileError::NotADatabase {
            path,
            source: error,
        }),
        Some(CORRUPT) => Ok(SqliteFileError::Corrupt {
            path,
            source: error,
        }),
        Some(READONLY | CANTOPEN) => inspect(path).ok_or(error),
        _ => Err(error),
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn inspect(path: PathBuf) -> Option<SqliteFileError> {
    if path.is_dir() {
        return Some(SqliteFileError::IsDirectory { path });
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if !parent.is_dir() {
        return Some(SqliteFileError::NoParent { path: parent });
    }
    if path.exists()
        && let Err(source) = fs::OpenOptions::new().read(true).write(true).open(&path)
    {
        return Some(SqliteFileError::FileNotWritable { path, source });
    }
    probe(&parent)
        .err()
        .map(|source| SqliteFileError::DirectoryNotWritable {
            path: parent,
            source,
        })
}

/// Creates a file in `directory` and removes it.
fn probe(directory: &Path) -> io::Result<()> {
    let path = probe_path(directory);
    // One may be there: of another probe at this moment, or of a process that was killed.
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn probe_path(directory: &Path) -> PathBuf {
    directory.join(format!(".steadfast-probe-{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_of_a_process_that_was_killed_is_not_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(probe_path(directory.path()), "").unwrap();
        probe(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
