//! `features`: each crate with no feature, with each alone, and with all.

use anyhow::Result;
use cargo_metadata::Package;

use crate::{
    process,
    workspace::{Workspace, folder_name},
};

/// Check each crate with no feature, with each feature alone, and with all of them.
///
/// Warnings are errors, so that code which only some feature uses is found.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The crate: the name of its folder. Every crate without it.
    #[arg(value_name = "CRATE")]
    name: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let packages = match &args.name {
        Some(name) => vec![workspace.member(name)?],
        None => workspace.crates(),
    };
    let mut runs = 0;
    for package in &packages {
        for selection in selections(package) {
            process::run(
                process::cargo(workspace, "clippy")
                    .args(["--quiet", "--package"])
                    .args(
                        [&package.name, "--no-default-features"]
                            .into_iter()
                            .chain(selection.iter().map(String::as_str))
                            .chain(["--", "--deny", "warnings"]),
                    ),
            )?;
            runs += 1;
        }
    }
    let names: Vec<_> = packages
        .iter()
        .map(|package| folder_name(package))
        .collect();
    println!(
        "combinations of features checked: {runs} ({})",
        names.join(", ")
    );
    Ok(())
}

/// The arguments that select no feature, each feature alone, and all of them.
fn selections(package: &Package) -> Vec<Vec<String>> {
    let features: Vec<_> = package
        .features
        .keys()
        .filter(|name| *name != "default")
        .collect();
    let mut selections = vec![Vec::new()];
    for feature in &features {
        selections.push(vec!["--features".to_owned(), feature.to_string()]);
    }
    if features.len() > 1 {
        selections.push(vec!["--all-features".to_owned()]);
    }
    selections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn selections_of(features: &str) -> Vec<String> {
        let fixture = Fixture::with_crates(&[("a", "0", features)]);
        let workspace = fixture.workspace();
        let selections = selections(workspace.member("a").unwrap());
        selections
            .iter()
            .map(|arguments| arguments.join(" "))
            .collect()
    }

    #[test]
    fn crate_without_features_is_checked_once() {
        assert_eq!(selections_of(""), [""]);
    }

    #[test]
    fn none_each_and_all_are_selected() {
        assert_eq!(
            selections_of("[features]\ndefault = [\"x\"]\nx = []\ny = []"),
            ["", "--features x", "--features y", "--all-features"]
        );
    }
}
