//! The Markdown pages: links lead somewhere, and the verbs that they name exist.

use std::{collections::BTreeMap, fs};

use anyhow::Result;
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};

use super::files::{TextFile, with_extensions};
use crate::workspace::{Problem, Workspace};

const COMMAND: &str = "cargo xtask ";

/// Links to files or headings that do not exist.
pub(crate) fn problems(workspace: &Workspace) -> Result<Vec<Problem>> {
    let pages = with_extensions(workspace.root(), &["md"])?;
    let mut problems = Vec::new();
    for page in &pages {
        for (line, link) in links(&page.text) {
            if let Some(message) = link_problem(workspace.root(), &page.path, &link) {
                problems.push(Problem::at_line(&page.path, line, message));
            }
        }
    }
    Ok(problems)
}

/// Verbs that pages and CI name but that do not exist.
pub(super) fn verb_problems(workspace: &Workspace, verbs: &[&str]) -> Result<Vec<Problem>> {
    let pages = with_extensions(workspace.root(), &["md", "yml", ""])?;
    Ok(pages
        .iter()
        .flat_map(|page| unknown_verbs(page, verbs))
        .collect())
}

fn unknown_verbs(page: &TextFile, verbs: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(page.text.lines()) {
        for rest in line.split(COMMAND).skip(1) {
            let is_verb = |c: char| c.is_ascii_lowercase() || c == '-';
            let verb = rest.split(|c| !is_verb(c)).next().unwrap_or_default();
            if !verb.is_empty() && !verb.starts_with('-') && !verbs.contains(&verb) {
                let message = format!("names `{COMMAND}{verb}`, which does not exist");
                problems.push(Problem::at_line(&page.path, number, message));
            }
        }
    }
    problems
}

/// The targets of the inline links outside code, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect();
        for rest in prose.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                links.push((number, target.trim().to_owned()));
            }
        }
    }
    links
}

/// The lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_fence = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_fence ^= is_fence;
        !in_fence && !is_fence
    })
}

fn link_problem(root: &Utf8Path, page: &Utf8Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => root.join(page),
        path => normalised(&root.join(page.parent()?).join(path)),
    };
    if !target.exists() {
        return Some(format!("links to {path}, which does not exist"));
    }
    if anchor.is_empty() || target.extension() != Some("md") {
        return None;
    }
    let text = fs::read_to_string(&target).ok()?;
    let is_missing = !anchors(&text).iter().any(|known| known == anchor);
    is_missing.then(|| format!("links to {link}, but no heading there has the anchor #{anchor}"))
}

/// Resolves `..` by name only, so that the result does not depend on what exists.
fn normalised(path: &Utf8Path) -> Utf8PathBuf {
    let mut parts = Utf8PathBuf::new();
    for part in path.components() {
        match part.as_str() {
            ".." => _ = parts.pop(),
            "." => {}
            part => parts.push(part),
        }
    }
    parts
}

/// The anchors of a page's headings, made as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        line[level..]
            .strip_prefix(' ')
            .filter(|_| (1..=6).contains(&level))
    });
    headings
        .map(|heading| {
            let anchor = anchor(heading);
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 {
                anchor
            } else {
                format!("{anchor}-{}", *times - 1)
            }
        })
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn found(page: &str) -> Vec<String> {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write(
            "docs/other.md",
            "# Other page\n\n## `a`: the rest\n\n## Same\n\n## Same\n",
        );
        fixture.write("docs/page.md", page);
        let problems = problems(&fixture.workspace()).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_resolve_have_no_problems() {
        let page = "# Page\n[a](other.md) [b](other.md#a-the-rest) [c](#page) [d](../crates/a)\n\
             [e](https://example.org/x) [f](other.md#same-1) `[code](no.md)`\n\
             ```\n[in a fence](no.md)\n```\n";
        assert_eq!(found(page), [""; 0]);
    }

    #[test]
    fn link_to_a_missing_file_is_found_with_its_line() {
        assert_eq!(
            found("text\n\nsee [this](../gone.md)\n"),
            ["docs/page.md:3: links to ../gone.md, which does not exist"]
        );
    }

    #[test]
    fn link_to_a_missing_heading_is_found() {
        assert_eq!(
            found("see [this](other.md#gone)\n"),
            ["docs/page.md:1: links to other.md#gone, but no heading there has the anchor #gone"]
        );
    }

    #[test]
    fn unknown_verb_is_found_in_pages_and_scripts() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write(
            "CONTRIBUTING.md",
            "`cargo xtask <verb>`: `cargo xtask test`, `cargo xtask paint`",
        );
        fixture.write(
            ".ci/run",
            "cargo xtask ci --skip-test\ncargo xtask launch\n",
        );
        let problems = verb_problems(&fixture.workspace(), &["test", "ci"]).unwrap();
        let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                ".ci/run:2: names `cargo xtask launch`, which does not exist",
                "CONTRIBUTING.md:1: names `cargo xtask paint`, which does not exist",
            ]
        );
    }
}
