//! The two lists of crates that people read: the code map and the README's table.

use std::{collections::BTreeSet, fs};

use crate::workspace::{Problem, Workspace, folder_name};

const CODE_MAP: &str = "docs/architecture.md";
const README: &str = "README.md";

pub(super) fn problems(workspace: &Workspace) -> Vec<Problem> {
    let crates: BTreeSet<_> = workspace
        .crates()
        .into_iter()
        .map(|package| folder_name(package).to_owned())
        .collect();
    let mut problems = Vec::new();
    for (page, listed) in [(CODE_MAP, in_code_map as fn(&str) -> _), (README, in_table)] {
        let Ok(text) = fs::read_to_string(workspace.root().join(page)) else {
            problems.push(Problem::new(page, "does not exist"));
            continue;
        };
        let listed: BTreeSet<String> = listed(&text);
        for name in crates.difference(&listed) {
            problems.push(Problem::new(page, format!("does not list crates/{name}")));
        }
        for name in listed.difference(&crates) {
            problems.push(Problem::new(
                page,
                format!("lists crates/{name}, which does not exist"),
            ));
        }
    }
    problems
}

/// The crates that have a heading of their own, as in "### `crates/clock`".
fn in_code_map(text: &str) -> BTreeSet<String> {
    let headings = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `crates/"));
    headings
        .filter_map(|rest| rest.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

/// The crates to whose folder a row of a table links, as in "| [clock](crates/clock) |".
fn in_table(text: &str) -> BTreeSet<String> {
    let rows = text
        .lines()
        .filter(|line| line.trim_start().starts_with('|'));
    let links = rows.flat_map(|row| row.split("](crates/").skip(1));
    let names = links.filter_map(|rest| rest.split([')', '/', '#']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn found(map: &str, readme: &str) -> Vec<String> {
        let fixture = Fixture::with_crates(&[("a", "0", ""), ("b", "0", "")]);
        fixture.write(CODE_MAP, map);
        fixture.write(README, readme);
        problems(&fixture.workspace())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn complete_lists_have_no_problems() {
        let table = "| Crate |\n|---|\n| [a](crates/a) |\n| [b](crates/b/README.md) |\n";
        let map = "### `crates/a`\n\nText.\n\n### `crates/b`\n";
        assert!(found(map, table).is_empty());
    }

    #[test]
    fn missing_and_vanished_crates_are_found_in_both_lists() {
        let table = "| [a](crates/a) |\n| [c](crates/c) |\nSee [b](crates/b).";
        assert_eq!(
            found("### `crates/b`\n### `crates/d`\n", table),
            [
                "docs/architecture.md: does not list crates/a",
                "docs/architecture.md: lists crates/d, which does not exist",
                "README.md: does not list crates/b",
                "README.md: lists crates/c, which does not exist",
            ]
        );
    }

    #[test]
    fn missing_pages_are_found() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        let problems = problems(&fixture.workspace());
        let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/architecture.md: does not exist",
                "README.md: does not exist"
            ]
        );
    }
}
