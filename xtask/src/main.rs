//! Every developer command of the workspace: `cargo xtask <verb>`, one file a verb.
//!
//! `cargo xtask --help` lists the verbs, `cargo xtask <verb> --help` explains one. The rules that
//! `layers` and `tidy` check are functions over a workspace, each with a test that shows that it
//! can fail.

mod bench;
mod check;
mod ci;
mod docs;
mod features;
mod layers;
mod run;
mod setup;
mod soak;
mod standalone;
mod test;
mod tidy;
mod web;

mod process;
mod workspace;

#[cfg(test)]
mod fixture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The developer commands of the Steadfast workspace.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Test(test::Args),
    Check(check::Args),
    Layers(layers::Args),
    Tidy(tidy::Args),
    Standalone(standalone::Args),
    Features(features::Args),
    Bench(bench::Args),
    Docs(docs::Args),
    Web(web::Args),
    Ci(ci::Args),
    Setup(setup::Args),
    Soak(soak::Args),
}

fn main() -> ExitCode {
    match execute(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(verb: Verb) -> anyhow::Result<()> {
    let workspace = Workspace::here()?;
    match verb {
        Verb::Run(args) => run::run(&workspace, &args),
        Verb::Test(args) => test::run(&workspace, &args),
        Verb::Check(args) => check::run(&workspace, &args),
        Verb::Layers(args) => layers::run(&workspace, &args),
        Verb::Tidy(args) => tidy::run(&workspace, &args),
        Verb::Standalone(args) => standalone::run(&workspace, &args),
        Verb::Features(args) => features::run(&workspace, &args),
        Verb::Bench(args) => bench::run(&workspace, &args),
        Verb::Docs(args) => docs::run(&workspace, &args),
        Verb::Web(args) => web::run(&workspace, &args),
        Verb::Ci(args) => ci::run(&workspace, &args),
        Verb::Setup(args) => setup::run(&args),
        Verb::Soak(args) => soak::run(&workspace, &args),
    }
}
