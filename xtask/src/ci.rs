//! `ci`: the whole gate.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{check, docs, features, layers, process, standalone, test, tidy, workspace::Workspace};

/// Run the whole gate, as CI does; stop at the first step that fails.
///
/// Under 60 minutes on two cores. Advisories are not checked here, because their database is not
/// reachable everywhere: the CI on GitHub has a job for them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests, for a caller that has run `cargo xtask test` already.
    #[arg(long)]
    skip_test: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut times = Vec::new();
    let outcome = run_steps(workspace, args, &mut times);
    println!("\n{:<12} {:>8}", "step", "time");
    for (name, time) in &times {
        println!("{name:<12} {:>6.1} s", time.as_secs_f64());
    }
    outcome
}

/// A step's name, and what it runs.
type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: [Step; 10] = [
    ("check", |workspace| {
        check::run(workspace, &check::Args::default())
    }),
    ("test", |workspace| {
        test::run(workspace, &test::Args::in_ci())
    }),
    ("schedules", |workspace| {
        test::run(workspace, &test::Args::schedules())
    }),
    ("faults", |workspace| {
        test::run(workspace, &test::Args::faults())
    }),
    ("layers", |workspace| {
        layers::run(workspace, &layers::Args {})
    }),
    ("tidy", |workspace| tidy::run(workspace, &tidy::Args {})),
    ("standalone", |workspace| {
        standalone::run(workspace, &standalone::Args::all())
    }),
    ("features", |workspace| {
        features::run(workspace, &features::Args::default())
    }),
    ("docs", |workspace| {
        docs::run(workspace, &docs::Args::default())
    }),
    ("deny", deny),
];

#[expect(
    clippy::disallowed_methods,
    reason = "the times of the steps are what is reported"
)]
fn run_steps(
    workspace: &Workspace,
    args: &Args,
    times: &mut Vec<(&'static str, Duration)>,
) -> Result<()> {
    for (name, step) in STEPS {
        if name == "test" && args.skip_test {
            continue;
        }
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step(workspace).with_context(|| format!("step `{name}` failed"));
        times.push((name, start.elapsed()));
        outcome?;
    }
    Ok(())
}

fn deny(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(workspace, "deny").args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}
