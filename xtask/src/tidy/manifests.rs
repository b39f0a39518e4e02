//! What every manifest has: inherited lints, a description, versions from the workspace.

use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::Package;
use toml::{Table, Value};

use crate::workspace::{Problem, Workspace, folder};

/// The integration test binaries that a crate may have. `schedules` explores interleavings and is
/// built under its own cfg; `faults` hurts real servers and processes, and is run when asked for.
const TEST_BINARIES: [&str; 3] = ["it", "schedules", "faults"];

const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn problems(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for package in workspace.members() {
        let text = fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("cannot read {}", package.manifest_path))?;
        let manifest: Table = text
            .parse()
            .with_context(|| format!("cannot parse {}", package.manifest_path))?;
        let place = workspace
            .relative_folder(package)
            .join("Cargo.toml")
            .to_string();
        let mut found = manifest_problems(&manifest);
        found.extend(test_binary_problems(package));
        problems.extend(
            found
                .into_iter()
                .map(|message| Problem::new(&place, message)),
        );
    }
    for package in workspace.crates() {
        if !folder(package).join("README.md").is_file() {
            let place = workspace.relative_folder(package);
            problems.push(Problem::new(place, "has no README.md"));
        }
    }
    Ok(problems)
}

fn manifest_problems(manifest: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let inherits = |table: &str| {
        manifest.get(table).and_then(|table| table.get("workspace")) == Some(&Value::Boolean(true))
    };
    if !inherits("lints") {
        problems.push("does not inherit the lints: add `[lints]` with `workspace = true`".into());
    }
    let description = manifest
        .get("package")
        .and_then(|package| package.get("description"));
    if description
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        problems.push("has no description".into());
    }
    problems.extend(version_problems(manifest));
    let targets = manifest.get("target").and_then(Value::as_table);
    for target in targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table)
    {
        problems.extend(version_problems(target));
    }
    problems
}

/// Dependencies that neither come from the workspace nor are the crate itself.
fn version_problems(manifest: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    for table in DEPENDENCY_TABLES {
        let dependencies = manifest.get(table).and_then(Value::as_table);
        for (name, dependency) in dependencies.into_iter().flatten() {
            let from_workspace = dependency.get("workspace") == Some(&Value::Boolean(true));
            let is_itself = dependency.get("path").and_then(Value::as_str) == Some(".");
            if !from_workspace && !is_itself {
                problems.push(format!(
                    "`{name}` in [{table}] does not come from [workspace.dependencies], the one \
                     place for versions"
                ));
            }
        }
    }
    problems
}

fn test_binary_problems(package: &Package) -> Vec<String> {
    let binaries = package.targets.iter().filter(|target| target.is_test());
    let extra = binaries.filter(|target| !TEST_BINARIES.contains(&target.name.as_str()));
    extra
        .map(|target| {
            format!(
                "has a further integration test binary, `{}`: make it a module of tests/it",
                target.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn found(fixture: &Fixture) -> Vec<String> {
        let problems = problems(&fixture.workspace()).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn well_kept_crate_has_no_problems() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write("crates/a/tests/it/main.rs", "");
        fixture.write("crates/a/tests/schedules/main.rs", "");
        fixture.write("crates/a/tests/faults/main.rs", "");
        assert!(found(&fixture).is_empty());
    }

    #[test]
    fn lints_that_are_not_inherited_and_missing_description_are_found() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write(
            "crates/a/Cargo.toml",
            "[package]\nname = \"a\"\nversion = \"1.0.0\"",
        );
        assert_eq!(
            found(&fixture),
            [
                "crates/a/Cargo.toml: does not inherit the lints: add `[lints]` with `workspace = \
                 true`",
                "crates/a/Cargo.toml: has no description",
            ]
        );
    }

    #[test]
    fn missing_readme_is_found() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.remove("crates/a/README.md");
        assert_eq!(found(&fixture), ["crates/a: has no README.md"]);
    }

    #[test]
    fn version_outside_the_workspace_is_found_in_every_table() {
        let dependencies = "[dev-dependencies]\nserde = \"1\"\nsteadfast-a = { path = \".\" }\n\
             [target.'cfg(unix)'.dependencies]\nlibc = { version = \"0.2\" }";
        let fixture = Fixture::with_crates(&[("a", "0", dependencies)]);
        assert_eq!(
            found(&fixture),
            [
                "crates/a/Cargo.toml: `serde` in [dev-dependencies] does not come from \
                 [workspace.dependencies], the one place for versions",
                "crates/a/Cargo.toml: `libc` in [dependencies] does not come from \
                 [workspace.dependencies], the one place for versions",
            ]
        );
    }

    #[test]
    fn second_integration_binary_is_found() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write("crates/a/tests/more.rs", "");
        assert_eq!(
            found(&fixture),
            [
                "crates/a/Cargo.toml: has a further integration test binary, `more`: make it a \
              module of tests/it"
            ]
        );
    }
}
