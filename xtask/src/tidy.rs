//! `tidy`: the rules of the house that no compiler checks.

mod code_map;
mod exceptions;
mod files;
mod manifests;
pub(crate) mod pages;
mod sources;
mod tests_with_sleeps;

use anyhow::Result;
use clap::CommandFactory;

use crate::{
    Cli,
    workspace::{Problem, Workspace, report},
};

/// Check the rules of the house that no compiler checks.
///
/// Manifests: lints inherited, versions only in the workspace, one integration test binary, a
/// README and a description for each crate. Pages: the code map and the README's table name every
/// crate, links resolve, the verbs exist. Sources: no `allow`, `todo!`, unexplained `#[ignore]`,
/// wall-clock sleep in a test, trailing whitespace or overlong file; `unsafe` in one place.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let problems = problems(workspace)?;
    report("tidy", problems)?;
    println!(
        "tidy: {} crates, nothing out of place",
        workspace.crates().len()
    );
    Ok(())
}

fn problems(workspace: &Workspace) -> Result<Vec<Problem>> {
    let cli = Cli::command();
    let verbs: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
    let mut problems = manifests::problems(workspace)?;
    problems.extend(code_map::problems(workspace));
    problems.extend(pages::problems(workspace)?);
    problems.extend(pages::verb_problems(workspace, &verbs)?);
    problems.extend(sources::problems(workspace)?);
    Ok(problems)
}
