//! `run`: the whole service.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::{process, workspace::Workspace};

/// Run the whole service with embedded SQLite.
///
/// The same as `cargo run -p steadfast-app --bin steadfast -- serve`; further arguments go to
/// `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build with optimisations.
    #[arg(long)]
    release: bool,
    /// Arguments for `steadfast serve`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Becomes the service, so that signals and exit codes are its own.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    // Not in the root: relative paths among the arguments mean the caller's folder.
    let mut command = process::bare_cargo();
    command
        .arg("run")
        .arg("--manifest-path")
        .arg(workspace.root().join("Cargo.toml"));
    if args.release {
        command.arg("--release");
    }
    command.args([
        "--package",
        "steadfast-app",
        "--bin",
        "steadfast",
        "--",
        "serve",
    ]);
    let error = command.args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
