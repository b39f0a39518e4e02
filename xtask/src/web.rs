//! `web`: the dashboard.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, workspace::Workspace};

/// Build the dashboard: `npm ci` and `npm run build` in `crates/app/web`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let folder = workspace.root().join("crates/app/web");
    if !folder.join("package.json").is_file() {
        bail!("there is no dashboard to build: {folder}/package.json does not exist");
    }
    if !process::is_installed("npm", &["--version"]) {
        bail!(
            "the dashboard needs npm, which is not installed: install Node.js 20.19, or 22.12 or newer"
        );
    }
    process::run(Command::new("npm").arg("ci").current_dir(&folder))?;
    process::run(
        Command::new("npm")
            .args(["run", "build"])
            .current_dir(&folder),
    )
}
