//! What somebody can do about each error: one sentence, beside the class in `classify`.

use std::io;

use sqlx::Error;

use super::SqliteFileError;

/// For a file that others lock all the time.
pub(super) const LOCKED: &str =
    "see which process has the file open, such as by `fuser`, or raise `busy_timeout`";

/// What to do about an error of SQLite; empty where nothing more is known than it says itself.
pub(super) fn remedy(error: &Error) -> &'static str {
    match error {
        Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse::<i32>().ok());
            code.map_or("", |code| of_code(code & 0xff))
        }
        Error::PoolTimedOut => "give connections back sooner, or raise `acquire_timeout`",
        _ => "",
    }
}

fn of_code(primary: i32) -> &'static str {
    match primary {
        1 | 19 => "correct the SQL, or what it finds in the database",
        5 | 6 | 15 => LOCKED,
        7 => "free memory on this machine",
        8 => {
            "make the file, its directory and its file system writable for the user of this process"
        }
        10 => "check whether the disk under the file is full or broken, and the system's log",
        11 => CORRUPT,
        13 => "free space on the disk under the file",
        14 => "check the path and its permissions, and how many files this process has open",
        26 => NOT_A_DATABASE,
        _ => "",
    }
}

const CORRUPT: &str = "restore a backup, or see https://www.sqlite.org/recovery.html";
const NOT_A_DATABASE: &str = "give the path of another file, or move this one away";

/// What to do about a file that cannot serve.
pub(super) fn of_file(error: &SqliteFileError) -> &'static str {
    match error {
        SqliteFileError::IsDirectory { .. } => "give the path of a file, such as one in it",
        SqliteFileError::NoParent { .. } => "create that directory, or give another path",
        SqliteFileError::DirectoryNotWritable { source, .. }
        | SqliteFileError::FileNotWritable { source, .. }
            if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            "mount its file system for writing, or give a path on another one"
        }
        SqliteFileError::DirectoryNotWritable { .. } => {
            "let the user of this process create files there: SQLite needs one for its log"
        }
        SqliteFileError::FileNotWritable { .. } => "let the user of this process write to it",
        SqliteFileError::NotADatabase { .. } => NOT_A_DATABASE,
        SqliteFileError::Corrupt { .. } => CORRUPT,
    }
}
