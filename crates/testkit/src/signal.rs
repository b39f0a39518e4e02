use std::{io, process::Command};

/// Sends the signal `name` to the process, or with a `-` in front the process group, `target`.
pub(crate) fn signal(name: &str, target: &str) -> io::Result<()> {
    // The shell's own kill: kill(1) is not installed everywhere.
    let output = Command::new("sh")
        .args(["-c", r#"kill -s "$0" -- "$1""#, name, target])
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}
