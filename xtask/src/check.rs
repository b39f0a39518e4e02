//! `check`: formatting, lints and documentation.

use anyhow::Result;

use crate::{docs, process, workspace::Workspace};

/// Check formatting, lints and documentation; warnings are errors.
///
/// Runs `cargo fmt --check`, clippy over all targets with all features, and rustdoc.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The crate: the name of its folder. The whole workspace without it.
    #[arg(value_name = "CRATE")]
    name: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let package = args
        .name
        .as_deref()
        .map(|name| workspace.member(name))
        .transpose()?;
    let (formatted, linted) = match package {
        Some(package) => (
            vec!["--package", &package.name],
            vec!["--package", &package.name],
        ),
        None => (vec!["--all"], vec!["--workspace"]),
    };
    process::run(
        process::cargo(workspace, "fmt")
            .arg("--check")
            .args(formatted),
    )?;
    process::run(process::cargo(workspace, "clippy").args(linted).args([
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ]))?;
    docs::rustdoc(workspace, package)
}
