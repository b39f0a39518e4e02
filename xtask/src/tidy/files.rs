//! The files that people write, as opposed to those that tools make.

use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};

/// Folders that tools make or that others own.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "dist", "steadfast-data"];

/// A text file with its path relative to the root.
#[derive(Debug)]
pub(super) struct TextFile {
    pub(super) path: Utf8PathBuf,
    pub(super) text: String,
}

/// The files below `root` with one of the extensions, in a stable order. A file whose name has no
/// dot, such as `.ci/run`, counts as having the extension "".
pub(super) fn with_extensions(root: &Utf8Path, extensions: &[&str]) -> Result<Vec<TextFile>> {
    let mut files = Vec::new();
    collect(root, root, extensions, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(
    root: &Utf8Path,
    folder: &Utf8Path,
    extensions: &[&str],
    files: &mut Vec<TextFile>,
) -> Result<()> {
    let entries = folder
        .read_dir_utf8()
        .with_context(|| format!("cannot list {folder}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {folder}"))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {path}"))?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name) && !name.starts_with("target-") {
                collect(root, path, extensions, files)?;
            }
        } else if kind.is_file() && extensions.contains(&path.extension().unwrap_or_default()) {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            let path = path.strip_prefix(root).unwrap_or(path).to_owned();
            files.push(TextFile { path, text });
        }
    }
    Ok(())
}
