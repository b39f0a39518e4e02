//! Small workspaces in temporary folders, for the tests of the rules.

use std::fs;

use cargo_metadata::camino::Utf8PathBuf;
use tempfile::TempDir;

use crate::workspace::Workspace;

/// A workspace on disk that lives as long as this value.
#[derive(Debug)]
pub(crate) struct Fixture {
    root: Utf8PathBuf,
    _folder: TempDir,
}

impl Fixture {
    /// A workspace with no member but those that `write` adds under `crates/`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let fixture = Self {
            root: Utf8PathBuf::from_path_buf(root).unwrap(),
            _folder: folder,
        };
        fixture.write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n",
        );
        fixture
    }

    /// A workspace with a crate for each (folder, layer, dependency lines).
    pub(crate) fn with_crates(crates: &[(&str, &str, &str)]) -> Self {
        let fixture = Self::new();
        for (name, layer, dependencies) in crates {
            fixture.add_crate(name, &format!("layer = {layer}"), dependencies);
        }
        fixture
    }

    /// Adds a well kept crate; `dependencies` are whole lines, tables included.
    pub(crate) fn add_crate(&self, name: &str, layer: &str, dependencies: &str) {
        let manifest = format!(
            "[package]\nname = \"steadfast-{name}\"\ndescription = \"A crate\"\n\
             version = \"0.1.0\"\nedition = \"2024\"\n\n\
             [package.metadata.steadfast]\n{layer}\n\n[lints]\nworkspace = true\n\n{dependencies}\n",
        );
        self.write(&format!("crates/{name}/Cargo.toml"), &manifest);
        self.write(
            &format!("crates/{name}/README.md"),
            &format!("# steadfast-{name}\n"),
        );
        self.write(&format!("crates/{name}/src/lib.rs"), "//! A crate.\n");
        let root = fs::read_to_string(self.root.join("Cargo.toml")).unwrap();
        if !root.contains("[workspace.lints") {
            self.write(
                "Cargo.toml",
                &format!("{root}\n[workspace.lints.rust]\nunsafe_code = \"deny\"\n"),
            );
        }
    }

    /// Writes a file, making the folders that it needs.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.root.join(path)).unwrap();
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::at(&self.root).unwrap()
    }
}
