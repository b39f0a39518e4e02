use std::{
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::ServerError;

const PROGRAM: &str = "mount";

/// Mounts a tmpfs of `$1` bytes on the directory `$0`, says so, and undoes it when standard input
/// ends, which is when the owner closes it or dies. Lazily, as a file may still be open there.
const HOLD: &str = r#"
mount -t tmpfs -o "size=$1,mode=1777" steadfast-small-disk "$0" && echo mounted && {
    read -r _
    umount -l "$0"
}
rmdir "$0"
"#;

/// A disk that is soon full, and can turn read-only: a small tmpfs that everybody may write to.
///
/// For what a service does when it can write no more. Mounting needs root, on Linux. Dropping the
/// value unmounts the disk, also where files there are open, and removes its directory; so does
/// the death of the test process.
///
/// # Examples
///
/// ```
/// use steadfast_testkit::{SmallDisk, server_or_skip};
///
/// # fn main() -> Result<(), steadfast_testkit::ServerError> {
/// let Some(disk) = server_or_skip(SmallDisk::mount(64 * 1024)) else { return Ok(()) };
/// let file = disk.path().join("file");
/// assert!(std::fs::write(&file, vec![0; 128 * 1024]).is_err());
/// assert!(std::fs::write(&file, vec![0; 32 * 1024]).is_ok());
///
/// disk.remount_read_only()?;
/// assert!(std::fs::write(&file, "more").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    holder: Child,
}

impl SmallDisk {
    /// Mounts an empty disk of `bytes`, rounded up to whole pages of memory.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotPermitted`] where this process may not mount, for which
    /// [`server_or_skip`](crate::server_or_skip) skips; other variants where something else is
    /// wrong.
    pub fn mount(bytes: u64) -> Result<Self, ServerError> {
        let directory = tempfile::Builder::new()
            .prefix("steadfast-disk-")
            .tempdir()
            .map_err(|source| ServerError::Directory {
                program: PROGRAM,
                source,
            })?;
        let mut holder = Command::new("sh")
            .args(["-c", HOLD])
            .arg(directory.path())
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is for the test; its death then unmounts the disk.
            .process_group(0)
            .spawn()
            .map_err(spawn_error)?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            // Without a line the outcome is in what the holder wrote to standard error.
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        // The holder removes the directory from here on.
        let path = directory.keep();
        if line == "mounted\n" {
            return Ok(Self { path, holder });
        }
        let output = holder.wait_with_output().map_err(spawn_error)?;
        Err(failure(&output.stderr))
    }

    /// The directory that the disk is mounted on.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes every write fail from now on, as a file system does that has found an error.
    ///
    /// # Errors
    ///
    /// [`ServerError::Command`] where a file on the disk is open for writing; stop who has it
    /// open first.
    pub fn remount_read_only(&self) -> Result<(), ServerError> {
        self.remount("remount,ro")
    }

    /// Allows writes again.
    ///
    /// # Errors
    ///
    /// [`ServerError::Command`] with what `mount` said.
    pub fn remount_writable(&self) -> Result<(), ServerError> {
        self.remount("remount,rw")
    }

    fn remount(&self, options: &str) -> Result<(), ServerError> {
        let output = Command::new(PROGRAM)
            .args(["-o", options])
            .arg(&self.path)
            .output()
            .map_err(spawn_error)?;
        if output.status.success() {
            return Ok(());
        }
        Err(failure(&output.stderr))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The end of its input tells the holder to unmount; `wait` closes that input.
        let _ = self.holder.wait();
    }
}

fn spawn_error(source: io::Error) -> ServerError {
    ServerError::Spawn {
        program: PROGRAM.to_owned(),
        source,
    }
}

fn failure(stderr: &[u8]) -> ServerError {
    let output = String::from_utf8_lossy(stderr).trim().to_owned();
    let refusals = ["superuser", "permission denied", "not permitted"];
    if refusals.iter().any(|refusal| output.contains(refusal)) {
        return ServerError::NotPermitted {
            program: PROGRAM,
            output,
        };
    }
    ServerError::Command {
        program: PROGRAM.to_owned(),
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_told_from_other_failures() {
        for refusal in [
            "mount: /x: must be superuser to use mount.",
            "mount: /x: permission denied.",
            "mount: /x: Operation not permitted",
        ] {
            let error = failure(refusal.as_bytes());
            assert!(matches!(error, ServerError::NotPermitted { .. }));
        }
        let error = failure(b"mount: /x: mount point is busy.");
        assert!(matches!(error, ServerError::Command { .. }));
    }
}
