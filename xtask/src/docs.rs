//! `docs`: rustdoc, and the links between the pages.

use anyhow::Result;
use cargo_metadata::Package;

use crate::{
    process, tidy,
    workspace::{Workspace, report},
};

/// Build the API documentation, and check the links between the pages.
///
/// rustdoc's warnings are errors; links among the Markdown pages must lead to a file and a heading
/// that exist.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Open the documentation in a browser.
    #[arg(long)]
    open: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    report("docs", tidy::pages::problems(workspace)?)?;
    rustdoc(workspace, None)?;
    if args.open {
        process::run(process::cargo(workspace, "doc").args([
            "--no-deps",
            "--all-features",
            "--open",
        ]))?;
    }
    Ok(())
}

/// Builds the documentation of one package, or of every default member, with warnings as errors.
pub(crate) fn rustdoc(workspace: &Workspace, package: Option<&Package>) -> Result<()> {
    let mut command = process::cargo(workspace, "doc");
    command
        .args(["--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "--deny warnings");
    if let Some(package) = package {
        command.args(["--package", &package.name]);
    }
    process::run(&mut command)
}
