//! `test --schedules`: the tests in `tests/schedules`, under the checkers that explore schedules.

use std::process::Command;

use anyhow::Result;
use cargo_metadata::Package;

use super::with_target;
use crate::{
    process,
    workspace::{Workspace, folder_name},
};

/// The name of the test target, and of the folder that it is in.
const TARGET: &str = "schedules";

/// Read by the tests: how many schedules shuttle tries for each check and scheduler.
const ITERATIONS: &str = "STEADFAST_SHUTTLE_ITERATIONS";
/// Read by the tests: the schedule that shuttle is to replay instead.
const SCHEDULE: &str = "STEADFAST_SHUTTLE_SCHEDULE";
/// Read by loom.
const PREEMPTIONS: &str = "LOOM_MAX_PREEMPTIONS";

/// How far the schedules are explored; the defaults are the tests' own.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Bounds {
    /// How many schedules shuttle tries, by random choice and again by PCT; 10 000 without it.
    #[arg(long, value_name = "N", requires = "schedules")]
    iterations: Option<u32>,
    /// How often loom takes a thread off in the middle of its work; 3 without it.
    #[arg(long, value_name = "N", requires = "schedules")]
    preemptions: Option<u32>,
    /// Only this schedule, as shuttle printed it; name the test that failed as CRATE and FILTER.
    #[arg(long, value_name = "SCHEDULE", requires = "schedules")]
    replay: Option<String>,
}

/// A checker, which is a cfg and a target folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checker {
    Loom,
    Shuttle,
}

impl Checker {
    fn name(self) -> &'static str {
        match self {
            Checker::Loom => "loom",
            Checker::Shuttle => "shuttle",
        }
    }
}

pub(super) fn run(
    workspace: &Workspace,
    package: Option<&Package>,
    bounds: &Bounds,
    filters: &[String],
    runner_arguments: &[String],
) -> Result<()> {
    let packages = with_target(workspace, package, TARGET)?;
    // A schedule is shuttle's.
    let checkers: &[_] = match bounds.replay {
        Some(_) => &[Checker::Shuttle],
        None => &[Checker::Loom, Checker::Shuttle],
    };
    for package in packages {
        for checker in checkers {
            let name = folder_name(package);
            println!("\n-- {name} under {}", checker.name());
            let mut command = command(workspace, package, *checker, bounds);
            command.args(runner_arguments);
            if !filters.is_empty() {
                command.arg("--").args(filters);
            }
            let outcome = process::run(&mut command);
            if outcome.is_err() && *checker == Checker::Shuttle {
                eprintln!(
                    "replay a failing schedule: cargo xtask test {name} <TEST> --schedules --replay <SCHEDULE>"
                );
            }
            outcome?;
        }
    }
    Ok(())
}

fn command(workspace: &Workspace, package: &Package, checker: Checker, bounds: &Bounds) -> Command {
    let mut command = process::cargo(workspace, "test");
    command
        .args(["--package", &package.name, "--test", TARGET])
        .args(["--profile", TARGET])
        .arg("--target-dir")
        .arg(workspace.target_directory().join(checker.name()));
    if package.features.contains_key("test-util") {
        command.args(["--features", "test-util"]);
    }
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags = format!("{flags} --cfg steadfast_{}", checker.name());
    command.env("RUSTFLAGS", flags.trim());
    let set = [
        (ITERATIONS, bounds.iterations.map(|n| n.to_string())),
        (PREEMPTIONS, bounds.preemptions.map(|n| n.to_string())),
        (SCHEDULE, bounds.replay.clone()),
    ];
    for (name, value) in set {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Fixture, process::shown};

    fn fixture() -> Fixture {
        let fixture = Fixture::with_crates(&[("clock", "0", ""), ("sync", "1", "")]);
        fixture.write("crates/sync/tests/schedules/main.rs", "");
        fixture
    }

    #[test]
    fn each_checker_has_its_cfg_and_its_target_folder() {
        let fixture = fixture();
        let workspace = fixture.workspace();
        let sync = workspace.member("sync").unwrap();
        for checker in [Checker::Loom, Checker::Shuttle] {
            let command = command(&workspace, sync, checker, &Bounds::default());
            let folder = workspace.target_directory().join(checker.name());
            let line = shown(&command);
            assert!(line.contains(&format!("--target-dir {folder}")), "{line}");
            assert!(!line.contains("test-util"), "{line}");
            let flags = env(&command, "RUSTFLAGS").unwrap();
            assert!(flags.ends_with(&format!("--cfg steadfast_{}", checker.name())));
        }
    }

    #[test]
    fn given_bounds_reach_the_tests_and_others_are_left_to_them() {
        let fixture = fixture();
        let workspace = fixture.workspace();
        let sync = workspace.member("sync").unwrap();
        let bounds = Bounds {
            iterations: Some(7),
            preemptions: None,
            replay: Some("9106".to_owned()),
        };
        let command = command(&workspace, sync, Checker::Shuttle, &bounds);
        assert_eq!(env(&command, ITERATIONS).as_deref(), Some("7"));
        assert_eq!(env(&command, PREEMPTIONS), None);
        assert_eq!(env(&command, SCHEDULE).as_deref(), Some("9106"));
    }

    fn env(command: &Command, name: &str) -> Option<String> {
        let mut envs = command.get_envs();
        let (_, value) = envs.find(|(key, _)| *key == name)?;
        Some(value?.to_str()?.to_owned())
    }
}
