//! The workspace as `cargo metadata` describes it, and the problems that a rule finds in it.

use std::fmt;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package, camino::Utf8Path};

/// A loaded workspace. Nothing is resolved: loading needs neither the network nor a lock file.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

/// One broken rule: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    place: String,
    message: String,
}

impl Workspace {
    /// The workspace around the current directory.
    pub(crate) fn here() -> Result<Self> {
        Self::load(&MetadataCommand::new())
    }

    /// The workspace whose root is `root`.
    #[cfg(test)]
    pub(crate) fn at(root: &Utf8Path) -> Result<Self> {
        Self::load(MetadataCommand::new().manifest_path(root.join("Cargo.toml")))
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }

    pub(crate) fn target_directory(&self) -> &Utf8Path {
        &self.metadata.target_directory
    }

    /// Every member, in the order of their names.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members = self.metadata.workspace_packages();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// The members in `crates/`.
    pub(crate) fn crates(&self) -> Vec<&Package> {
        let folder = self.root().join("crates");
        let mut crates = self.members();
        crates.retain(|package| package.manifest_path.starts_with(&folder));
        crates
    }

    /// The member that `name` means: the name of its folder, or its full package name.
    pub(crate) fn member(&self, name: &str) -> Result<&Package> {
        let members = self.members();
        if let Some(found) = members
            .iter()
            .find(|p| folder_name(p) == name || *p.name == name)
        {
            return Ok(found);
        }
        let known: Vec<_> = members.iter().map(|package| folder_name(package)).collect();
        bail!(
            "there is no crate `{name}`; the crates are {}",
            known.join(", ")
        );
    }

    /// The path of a member's folder, relative to the root.
    pub(crate) fn relative_folder<'a>(&self, package: &'a Package) -> &'a Utf8Path {
        let folder = folder(package);
        folder.strip_prefix(self.root()).unwrap_or(folder)
    }

    fn load(command: &MetadataCommand) -> Result<Self> {
        let metadata = command
            .clone()
            .no_deps()
            .exec()
            .context("cannot load the workspace")?;
        Ok(Self { metadata })
    }
}

impl Problem {
    pub(crate) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            message: message.into(),
        }
    }

    pub(crate) fn at_line(path: &Utf8Path, line: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A package's folder.
pub(crate) fn folder(package: &Package) -> &Utf8Path {
    package
        .manifest_path
        .parent()
        .unwrap_or(&package.manifest_path)
}

/// The name of a package's folder: the short name that the verbs take.
pub(crate) fn folder_name(package: &Package) -> &str {
    folder(package).file_name().unwrap_or(&package.name)
}

/// Prints each problem on a line of its own and turns them into one error.
pub(crate) fn report(verb: &str, mut problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        1 => bail!("{verb} found 1 problem"),
        n => bail!("{verb} found {n} problems"),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Fixture;

    #[test]
    fn short_and_full_name_mean_the_same_member() {
        let fixture = Fixture::with_crates(&[("clock", "0", "")]);
        let workspace = fixture.workspace();
        let by_folder = workspace.member("clock").unwrap();
        assert_eq!(
            by_folder.name,
            workspace.member("steadfast-clock").unwrap().name
        );
    }

    #[test]
    fn unknown_member_error_names_the_known_ones() {
        let fixture = Fixture::with_crates(&[("clock", "0", ""), ("sync", "1", "")]);
        let error = fixture.workspace().member("clok").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no crate `clok`; the crates are clock, sync"
        );
    }
}
