//! The outside package that depends on one crate.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use cargo_metadata::{Dependency, Package, camino::Utf8Path};
use toml::{Table, Value};

use super::example::Example;
use crate::workspace::{Workspace, folder, folder_name};

/// What is written into the consumer's folder.
#[derive(Debug)]
pub(super) struct Consumer {
    manifest: String,
    main: String,
    /// The workspace's lock file: the same versions, and no need for the network. Cargo drops what
    /// the consumer does not use.
    lock: Option<String>,
}

impl Consumer {
    pub(super) fn new(
        workspace: &Workspace,
        package: &Package,
        example: Option<&Example>,
    ) -> Result<Self> {
        let library = package.name.replace('-', "_");
        let main = match example {
            Some(example) => example.program.clone(),
            None => format!("use {library} as _;\n\nfn main() {{}}\n"),
        };
        let lock = workspace.root().join("Cargo.lock");
        let lock = lock
            .is_file()
            .then(|| fs::read_to_string(&lock))
            .transpose();
        Ok(Self {
            manifest: manifest(package, example)?,
            main,
            lock: lock.context("cannot read Cargo.lock")?,
        })
    }

    pub(super) fn write(&self, folder: &Utf8Path) -> Result<()> {
        let write = |path: &str, content: &str| {
            fs::write(folder.join(path), content).with_context(|| format!("cannot write {path}"))
        };
        fs::create_dir(folder.join("src")).context("cannot make src")?;
        write("Cargo.toml", &self.manifest)?;
        write("src/main.rs", &self.main)?;
        if let Some(lock) = &self.lock {
            write("Cargo.lock", lock)?;
        }
        Ok(())
    }
}

fn manifest(package: &Package, example: Option<&Example>) -> Result<String> {
    let mut dependencies = Table::new();
    let crate_itself = Table::from_iter([("path".into(), folder(package).as_str().into())]);
    dependencies.insert(package.name.to_string(), crate_itself.into());
    if let Some(example) = example {
        dependencies.extend(used_by_example(package, example));
    }
    let table = |pairs: &[(&str, Value)]| -> Value {
        Value::Table(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        )
    };
    let name = format!("standalone-{}", folder_name(package));
    let manifest: Table = [
        (
            "package",
            table(&[
                ("name", name.into()),
                ("version", "0.0.0".into()),
                ("edition", "2024".into()),
            ]),
        ),
        ("workspace", table(&[])),
        ("features", features(package, example).into()),
        ("dependencies", dependencies.into()),
        (
            "profile",
            table(&[("dev", table(&[("debug", false.into())]))]),
        ),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    toml::to_string(&manifest).context("cannot write the consumer's manifest")
}

/// The features that the example names, as features of the consumer, so that the example sees
/// them as set, and each with the crate's feature of that name behind it.
fn features(package: &Package, example: Option<&Example>) -> Table {
    let named = example.map(Example::features).unwrap_or_default();
    let list = |items: Vec<String>| Value::Array(items.into_iter().map(Value::from).collect());
    let own = |name: &str| {
        (
            name.to_owned(),
            list(vec![format!("{}/{name}", package.name)]),
        )
    };
    let mut features: Table = named.iter().map(|name| own(name)).collect();
    features.insert(
        "default".into(),
        list(named.into_iter().map(str::to_owned).collect()),
    );
    features
}

/// The packages that the example itself uses, as the crate states them for its own tests.
fn used_by_example(package: &Package, example: &Example) -> BTreeMap<String, Value> {
    let mut used: BTreeMap<String, (&Dependency, Vec<&str>)> = BTreeMap::new();
    for dependency in &package.dependencies {
        let is_itself = dependency.name == *package.name;
        if !is_itself && dependency.rename.is_none() && example.uses(&dependency.name) {
            let entry = used
                .entry(dependency.name.clone())
                .or_insert((dependency, Vec::new()));
            entry
                .1
                .extend(dependency.features.iter().map(String::as_str));
        }
    }
    used.into_iter()
        .map(|(name, (dependency, features))| {
            let mut table = Table::new();
            match &dependency.path {
                Some(path) => table.insert("path".into(), path.as_str().into()),
                None => table.insert("version".into(), dependency.req.to_string().into()),
            };
            table.insert(
                "default-features".into(),
                dependency.uses_default_features.into(),
            );
            let features = features.into_iter().map(Value::from).collect();
            table.insert("features".into(), Value::Array(features));
            (name, table.into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn manifest_of(dependencies: &str, program: &str) -> Result<Table> {
        let fixture = Fixture::with_crates(&[("a", "1", dependencies)]);
        let example = Example {
            place: "src/lib.rs",
            program: program.into(),
        };
        let workspace = fixture.workspace();
        Ok(manifest(workspace.member("a").unwrap(), Some(&example))?.parse()?)
    }

    #[test]
    fn only_what_the_example_uses_is_added_with_the_features_of_all_kinds() {
        let dependencies = "[features]\ntokio = [\"dep:tokio\"]\n[dependencies]\nserde = \"1\"\n\
             tokio = { version = \"1.5\", optional = true, default-features = false, features = [\"sync\"] }\n\
             [dev-dependencies]\ntokio = { version = \"1.5\", features = [\"rt\"] }";
        let manifest = manifest_of(dependencies, "tokio::spawn(f)").unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert_eq!(
            dependencies.keys().collect::<Vec<_>>(),
            ["steadfast-a", "tokio"]
        );
        assert_eq!(dependencies["tokio"]["version"].as_str(), Some("^1.5"));
        let features = dependencies["tokio"]["features"].as_array().unwrap();
        assert_eq!(features, &[Value::from("sync"), Value::from("rt")]);
    }

    #[test]
    fn features_that_the_example_names_are_switched_on() {
        let program = "#[cfg(feature = \"sqlite\")] f();";
        let manifest = manifest_of("[features]\nsqlite = []", program).unwrap();
        let features = &manifest["features"];
        assert_eq!(
            features["default"].as_array().unwrap(),
            &[Value::from("sqlite")]
        );
        let behind = features["sqlite"].as_array().unwrap();
        assert_eq!(behind, &[Value::from("steadfast-a/sqlite")]);
    }
}
