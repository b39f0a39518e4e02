//! `test --faults`: the tests in `tests/faults`, which hurt real servers and processes.

use std::process::Command;

use anyhow::Result;
use cargo_metadata::Package;

use super::{REQUIRE_SERVERS, with_target};
use crate::{process, workspace::Workspace};

/// The name of the test target, and of the folder that it is in.
pub(crate) const TARGET: &str = "faults";

pub(super) fn run(
    workspace: &Workspace,
    package: Option<&Package>,
    ci: bool,
    filters: &[String],
    runner_arguments: &[String],
) -> Result<()> {
    let packages = with_target(workspace, package, TARGET)?;
    let mut command = if process::is_installed("cargo", &["nextest", "--version"]) {
        nextest(workspace, ci)
    } else {
        let mut command = process::cargo(workspace, "test");
        command.args(["--no-fail-fast", "--test", TARGET]);
        command
    };
    command.arg("--all-features");
    for package in packages {
        command.args(["--package", &package.name]);
    }
    if ci {
        command.env(REQUIRE_SERVERS, "1");
    }
    process::run(command.args(runner_arguments).args(filters))
}

fn nextest(workspace: &Workspace, ci: bool) -> Command {
    let mut command = process::cargo(workspace, "nextest");
    // Ordinary runs leave this binary out by the default filter of `.config/nextest.toml`.
    command.args(["run", "--ignore-default-filter", "--test", TARGET]);
    if ci {
        command.args(["--profile", "ci"]);
    }
    command
}
