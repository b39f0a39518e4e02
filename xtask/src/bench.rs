//! `bench`: the benchmarks against the peers.

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Run the benchmarks against the peers, or the one that is named, or some of its cases.
///
/// The peers are dependencies of the `bench` crate only; the first run compiles them, optimised.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benchmark; `--list` shows the names.
    name: Option<String>,
    /// Run only the cases whose names contain this.
    filter: Option<String>,
    /// Show the names of the benchmarks and of their cases.
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Count the allocations of an operation instead of measuring its time.
    #[arg(long)]
    allocations: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut command = process::cargo(workspace, "run");
    command.args(["--quiet", "--release", "--package", "steadfast-bench"]);
    if args.allocations {
        command.args(["--features", "allocations"]);
    }
    command.arg("--");
    if args.list {
        command.arg("--list");
    }
    process::run(command.args(&args.name).args(&args.filter))
}
