//! The first runnable example in a crate's documentation.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use cargo_metadata::Package;
use proc_macro2::{TokenStream, TokenTree};

use crate::workspace::folder;

const SOURCE: &str = "src/lib.rs";
const README: &str = "README.md";
const README_INCLUDED: &str = "include_str!(\"../README.md\")";

/// A program made from a documentation example, as rustdoc would make it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// The file that it comes from, relative to the crate.
    pub(super) place: &'static str,
    /// The text of `main.rs`.
    pub(super) program: String,
}

impl Example {
    /// The first runnable example in the crate's documentation: the comments of `src/lib.rs`, or
    /// `README.md` where that is included.
    pub(super) fn of(package: &Package) -> Result<Option<Self>> {
        let read = |place| {
            let path = folder(package).join(place);
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let source = read(SOURCE)?;
        let (place, prose) = if source.contains(README_INCLUDED) {
            (README, read(README)?)
        } else {
            (SOURCE, crate_docs(&source))
        };
        Ok(first_runnable(&prose).map(|code| Self {
            place,
            program: program(&code),
        }))
    }

    /// The features that the program names, as in `#[cfg(feature = "sqlite")]`.
    pub(super) fn features(&self) -> BTreeSet<&str> {
        let named = self.program.split("feature = \"").skip(1);
        named.filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Whether the program uses the crate of this package name.
    pub(super) fn uses(&self, package: &str) -> bool {
        let path = format!("{}::", package.replace('-', "_"));
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        self.program
            .match_indices(&path)
            .any(|(start, _)| !self.program[..start].ends_with(is_name))
    }
}

/// The text of the `//!` comments.
fn crate_docs(source: &str) -> String {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!"));
    lines
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect()
}

/// The first fenced block that rustdoc would compile and run.
fn first_runnable(prose: &str) -> Option<String> {
    let mut lines = prose.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|l| l.trim() != "```").collect();
        if info
            .split(',')
            .all(|word| matches!(word.trim(), "" | "rust"))
        {
            return Some(
                block
                    .into_iter()
                    .map(|line| shown_or_hidden(line) + "\n")
                    .collect(),
            );
        }
    }
    None
}

/// Rustdoc hides lines that start with `# `, but compiles them.
fn shown_or_hidden(line: &str) -> String {
    match line.trim_start() {
        "#" => String::new(),
        trimmed => match trimmed.strip_prefix("# ") {
            Some(hidden) => hidden.to_owned(),
            None if trimmed.starts_with("##") => line.replacen("##", "#", 1),
            None => line.to_owned(),
        },
    }
}

/// Wraps the code in a `main` function where it has none outside all braces.
fn program(code: &str) -> String {
    let tokens: Vec<_> = code.parse::<TokenStream>().into_iter().flatten().collect();
    let is_ident = |token: &TokenTree, name| matches!(token, TokenTree::Ident(i) if *i == name);
    if tokens
        .windows(2)
        .any(|pair| is_ident(&pair[0], "fn") && is_ident(&pair[1], "main"))
    {
        return code.to_owned();
    }
    let is_attribute = |line: &&str| line.trim_start().starts_with("#![");
    let attributes: String = code
        .lines()
        .filter(is_attribute)
        .map(|l| format!("{l}\n"))
        .collect();
    let body: String = code
        .lines()
        .filter(|l| !is_attribute(l))
        .map(|l| format!("{l}\n"))
        .collect();
    if body.trim_end().ends_with("(())") {
        format!(
            "{attributes}fn main() {{\nfn example() -> Result<(), impl core::fmt::Debug> {{\n\
             {body}}}\nexample().unwrap();\n}}\n"
        )
    } else {
        format!("{attributes}fn main() {{\n{body}}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn first_block_that_runs_is_taken_with_its_hidden_lines() {
        let source = "//! Text.\n//!\n//! ```text\n//! no\n//! ```\n//! ```no_run\n//! no\n//! ```\n\
             //! ```\n//! # use a::B;\n//! #[derive(Debug)]\n//! struct S;\n//! #\n//! ```\n\
             //! ```\n//! later\n//! ```\nmod code;\n";
        assert_eq!(
            first_runnable(&crate_docs(source)).unwrap(),
            "use a::B;\n#[derive(Debug)]\nstruct S;\n\n"
        );
    }

    #[test]
    fn readme_counts_only_where_the_crate_includes_it() {
        let fixture = Fixture::with_crates(&[("a", "0", "")]);
        fixture.write("crates/a/README.md", "```rust\nlet x = 1;\n```\n");
        let workspace = fixture.workspace();
        let package = workspace.member("a").unwrap();
        assert_eq!(Example::of(package).unwrap(), None);
        fixture.write(
            "crates/a/src/lib.rs",
            "#![doc = include_str!(\"../README.md\")]\n",
        );
        assert_eq!(Example::of(package).unwrap().unwrap().place, "README.md");
    }

    #[test]
    fn code_without_main_is_wrapped_and_its_result_is_checked() {
        assert_eq!(program("let x = 1;\n"), "fn main() {\nlet x = 1;\n}\n");
        let checked = program("#![feature(x)]\nf()?;\nOk::<(), E>(())\n");
        assert!(
            checked.starts_with("#![feature(x)]\nfn main() {\nfn example()"),
            "{checked}"
        );
        assert!(checked.contains("example().unwrap();"), "{checked}");
    }

    #[test]
    fn code_with_main_is_left_alone() {
        let code = "#[tokio::main]\nasync fn main() {}\n";
        assert_eq!(program(code), code);
        let inner = "{\nasync fn main() {}\nmain();\n}\n";
        assert_eq!(program(inner), format!("fn main() {{\n{inner}}}\n"));
    }

    #[test]
    fn features_are_those_that_the_program_names() {
        let program = "#[cfg(all(feature = \"b\", feature = \"a\"))] f();".into();
        let example = Example {
            place: "README.md",
            program,
        };
        assert_eq!(
            example.features().into_iter().collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn used_crates_are_told_from_longer_names() {
        let example = Example {
            place: "README.md",
            program: "my_tokio::f(); serde_json::x".into(),
        };
        assert!(example.uses("serde-json"));
        assert!(!example.uses("tokio") && !example.uses("serde"));
    }
}
