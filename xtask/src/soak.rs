//! `soak`: the tests against faults, for as long as you like.

use anyhow::Result;

use crate::{
    process,
    test::{FAULTS, REQUIRE_SERVERS, with_target},
    workspace::Workspace,
};

/// Read by the tests that go on until their time is up: the number of seconds for each.
const SECONDS: &str = "STEADFAST_SOAK_SECONDS";

/// Run the tests in `tests/faults` of one crate, or of all, with the long runs made longer.
///
/// `cargo xtask test --faults` gives each test that goes on and on a few seconds; here each gets
/// the minutes that you name. The tests run one after the other and print what they did; a seed
/// that they print is replayed by `STEADFAST_SEED`. A missing server is a failure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The crate: the name of its folder. All that have such tests without it.
    #[arg(value_name = "CRATE")]
    name: Option<String>,
    /// How long each test that goes on and on may do so.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Only tests whose name contains one of these.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let package = args
        .name
        .as_deref()
        .map(|name| workspace.member(name))
        .transpose()?;
    for package in with_target(workspace, package, FAULTS)? {
        // Not nextest, which ends a test that takes long.
        let mut command = process::cargo(workspace, "test");
        command
            .args(["--package", &package.name, "--all-features"])
            .args(["--test", FAULTS, "--"])
            .args(["--test-threads", "1", "--nocapture"])
            .args(&args.filters)
            .env(SECONDS, (args.minutes * 60).to_string())
            .env(REQUIRE_SERVERS, "1");
        process::run(&mut command)?;
    }
    Ok(())
}
