//! `standalone`: that a crate can be cherry-picked.

mod consumer;
mod example;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, Package, camino::Utf8Path};

use self::{consumer::Consumer, example::Example};
use crate::{
    layers::{Layer, layer_of},
    process,
    workspace::{Workspace, folder_name},
};

/// The floor that composes the others: not there to be cherry-picked.
const COMPOSITION: Layer = Layer::Floor(4);

/// Build and run an outside consumer that depends on one crate only.
///
/// The consumer is a package of its own in a temporary folder, with its own lock file. It runs the
/// first example of the crate's documentation, with the features that the example names. Of the
/// other workspace crates only those on lower floors may come in with it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The crate: the name of its folder.
    #[arg(value_name = "CRATE", required_unless_present = "all")]
    name: Option<String>,
    /// Every crate below the composed binary.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

impl Args {
    pub(crate) fn all() -> Self {
        Self {
            name: None,
            all: true,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let packages = match &args.name {
        Some(name) => vec![offered(workspace.member(name)?)?],
        None => workspace
            .crates()
            .into_iter()
            .filter(|p| is_offered(p))
            .collect(),
    };
    let target = workspace.target_directory().join("standalone");
    for package in packages {
        let outcome = stand_alone(workspace, package, &target)
            .with_context(|| format!("{} does not stand alone", package.name))?;
        println!("{}: {outcome}", folder_name(package));
    }
    Ok(())
}

/// The package, if it is there to be cherry-picked.
fn offered(package: &Package) -> Result<&Package> {
    if !is_offered(package) {
        bail!(
            "{} is not there to be cherry-picked: it composes the others or is never published",
            folder_name(package)
        );
    }
    Ok(package)
}

fn is_offered(package: &Package) -> bool {
    layer_of(package).is_some_and(|layer| layer < COMPOSITION)
}

/// Builds and runs the consumer, and says what it showed.
fn stand_alone(workspace: &Workspace, package: &Package, target: &Utf8Path) -> Result<String> {
    let example = Example::of(package)?;
    let consumer = Consumer::new(workspace, package, example.as_ref())?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = Utf8Path::from_path(folder.path()).context("the temporary path is not UTF-8")?;
    consumer.write(folder)?;
    let manifest = folder.join("Cargo.toml");
    process::run(
        process::bare_cargo()
            .args(["run", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", target)
            .current_dir(folder),
    )?;
    let company = company(workspace, package, &manifest)?;
    let ran = match &example {
        Some(example) => format!("its example in {} ran", example.place),
        None => "it was linked (no example to run)".to_owned(),
    };
    let beside = if company.is_empty() {
        "nothing".to_owned()
    } else {
        company.join(", ")
    };
    Ok(format!("{ran}; beside it came {beside}"))
}

/// The other workspace crates that came in: an error if one is not on a lower floor.
fn company(workspace: &Workspace, package: &Package, manifest: &Utf8Path) -> Result<Vec<String>> {
    let resolved = MetadataCommand::new().manifest_path(manifest).exec()?;
    let came: BTreeSet<_> = resolved
        .packages
        .iter()
        .map(|package| &package.name)
        .collect();
    let mut company = Vec::new();
    for other in workspace.members() {
        if other.name == package.name || !came.contains(&other.name) {
            continue;
        }
        if layer_of(other) >= layer_of(package) {
            bail!("{} comes in, which is not on a lower floor", other.name);
        }
        company.push(folder_name(other).to_owned());
    }
    Ok(company)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn outcome(fixture: &Fixture) -> Result<String> {
        let workspace = fixture.workspace();
        let target = workspace.root().join("target");
        stand_alone(&workspace, workspace.member("a").unwrap(), &target)
    }

    #[test]
    fn example_runs_with_lower_floors_beside_it() {
        let dependency = "[dependencies]\nsteadfast-b = { path = \"../b\" }";
        let fixture = Fixture::with_crates(&[("a", "1", dependency), ("b", "0", "")]);
        fixture.write(
            "crates/a/src/lib.rs",
            "//! ```\n//! assert_eq!(steadfast_a::one(), 1);\n//! ```\npub fn one() -> u8 { 1 }\n",
        );
        let outcome = outcome(&fixture).unwrap();
        assert_eq!(outcome, "its example in src/lib.rs ran; beside it came b");
    }

    #[test]
    fn only_what_is_published_below_the_composition_is_offered() {
        let fixture = Fixture::with_crates(&[("a", "3", ""), ("b", "4", ""), ("c", "\"dev\"", "")]);
        let workspace = fixture.workspace();
        let offered = |name| offered(workspace.member(name).unwrap());
        assert!(offered("a").is_ok());
        for name in ["b", "c"] {
            let error = offered(name).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn example_that_fails_is_found() {
        let fixture = Fixture::with_crates(&[("a", "1", "")]);
        fixture.write(
            "crates/a/src/lib.rs",
            "//! ```\n//! assert_eq!(1, 2);\n//! ```\n",
        );
        let error = outcome(&fixture).unwrap_err().to_string();
        assert!(error.contains("exit status: 101"), "{error}");
    }

    #[test]
    fn crate_from_the_same_floor_is_found() {
        let dependency = "[dependencies]\nsteadfast-b = { path = \"../b\" }";
        let fixture = Fixture::with_crates(&[("a", "1", dependency), ("b", "1", "")]);
        let error = outcome(&fixture).unwrap_err().to_string();
        assert_eq!(error, "steadfast-b comes in, which is not on a lower floor");
    }
}
