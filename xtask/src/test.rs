//! `test`: the tests of one crate or of all, documentation tests included.

mod faults;
mod schedules;

use anyhow::{Result, bail};
use cargo_metadata::Package;

use crate::{
    process,
    workspace::{Workspace, folder, folder_name},
};

pub(crate) use faults::TARGET as FAULTS;

/// Set for the tests: a server that cannot be started fails them instead of skipping them.
pub(crate) const REQUIRE_SERVERS: &str = "STEADFAST_REQUIRE_SERVERS";

/// Run the tests of one crate, or of every default member.
///
/// Runs cargo-nextest, or `cargo test` where nextest is missing, then the documentation tests.
/// Every feature is on, a crate's own test features too.
///
/// With `--schedules` it runs the tests in `tests/schedules` instead, once under loom and once
/// under shuttle, each with a target folder of its own; docs/verification.md says what they
/// explore. With `--faults` it runs those in `tests/faults`, which kill, pause, starve and cut off
/// private servers and processes; `cargo xtask soak` runs them for longer.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The crate: the name of its folder. All default members without it.
    #[arg(value_name = "CRATE")]
    name: Option<String>,
    /// As in CI: nextest's profile `ci`, and a missing server fails the tests that need it.
    #[arg(long)]
    ci: bool,
    /// Explore schedules: loom models and shuttle checks, instead of the other tests.
    #[arg(long, conflicts_with = "ci")]
    schedules: bool,
    /// Hurt real servers and processes, instead of the other tests.
    #[arg(long, conflicts_with = "schedules")]
    faults: bool,
    #[command(flatten)]
    bounds: schedules::Bounds,
    /// Only tests whose name contains one of these.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Further arguments for nextest or `cargo test`.
    #[arg(last = true, value_name = "RUNNER ARGUMENTS")]
    runner_arguments: Vec<String>,
}

impl Args {
    pub(crate) fn in_ci() -> Self {
        Self {
            ci: true,
            ..Self::default()
        }
    }

    /// The faults, with every server required.
    pub(crate) fn faults() -> Self {
        Self {
            faults: true,
            ..Self::in_ci()
        }
    }

    /// The exploration of schedules, within its default bounds.
    pub(crate) fn schedules() -> Self {
        Self {
            schedules: true,
            ..Self::default()
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let package = args
        .name
        .as_deref()
        .map(|name| workspace.member(name))
        .transpose()?;
    if args.schedules {
        let (bounds, filters) = (&args.bounds, &args.filters);
        return schedules::run(workspace, package, bounds, filters, &args.runner_arguments);
    }
    if args.faults {
        let (filters, runner_arguments) = (&args.filters, &args.runner_arguments);
        return faults::run(workspace, package, args.ci, filters, runner_arguments);
    }
    run_tests(workspace, package, args)?;
    if package.is_none_or(has_library) {
        run_doc_tests(workspace, package, args)
    } else {
        Ok(())
    }
}

fn run_tests(workspace: &Workspace, package: Option<&Package>, args: &Args) -> Result<()> {
    let mut command = if process::is_installed("cargo", &["nextest", "--version"]) {
        let mut command = process::cargo(workspace, "nextest");
        command.arg("run");
        if args.ci {
            command.args(["--profile", "ci"]);
        }
        command
    } else {
        eprintln!("cargo-nextest is missing (`cargo xtask setup` installs it): using cargo test");
        let mut command = process::cargo(workspace, "test");
        command.args(["--no-fail-fast", "--lib", "--bins"]);
        if package.is_none_or(|package| has_target(package, "it")) {
            command.args(["--test", "it"]);
        }
        command
    };
    command.arg("--all-features").args(selection(package));
    if args.ci {
        command.env(REQUIRE_SERVERS, "1");
    }
    process::run(command.args(&args.runner_arguments).args(&args.filters))
}

fn run_doc_tests(workspace: &Workspace, package: Option<&Package>, args: &Args) -> Result<()> {
    let mut command = process::cargo(workspace, "test");
    command
        .args(["--doc", "--all-features"])
        .args(selection(package));
    process::run(command.args(&args.filters))
}

fn selection(package: Option<&Package>) -> Vec<&str> {
    package.map_or_else(Vec::new, |package| vec!["--package", &package.name])
}

/// The crate, or all that have the folder `tests/<target>`.
pub(crate) fn with_target<'a>(
    workspace: &'a Workspace,
    package: Option<&'a Package>,
    target: &str,
) -> Result<Vec<&'a Package>> {
    let Some(package) = package else {
        let mut packages = workspace.members();
        packages.retain(|package| has_target(package, target));
        return Ok(packages);
    };
    if !has_target(package, target) {
        let name = folder_name(package);
        bail!("there is no folder `tests/{target}` in the crate `{name}`: nothing to run");
    }
    Ok(vec![package])
}

fn has_target(package: &Package, target: &str) -> bool {
    folder(package).join("tests").join(target).is_dir()
}

fn has_library(package: &Package) -> bool {
    package.targets.iter().any(|target| target.is_lib())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn crates_with_the_folder_are_found_and_others_named() {
        let fixture = Fixture::with_crates(&[("clock", "0", ""), ("sync", "1", "")]);
        fixture.write("crates/sync/tests/faults/main.rs", "");
        let workspace = fixture.workspace();
        let all = with_target(&workspace, None, FAULTS).unwrap();
        let names: Vec<_> = all.iter().map(|package| &**package.name).collect();
        assert_eq!(names, ["steadfast-sync"]);
        let clock = workspace.member("clock").unwrap();
        let error = with_target(&workspace, Some(clock), FAULTS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no folder `tests/faults` in the crate `clock`: nothing to run"
        );
    }
}
