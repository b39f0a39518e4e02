//! The Rust sources, read as tokens, so that comments and strings never count.

use anyhow::Result;
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

use super::{
    exceptions::{LONG_FILES, SLEEPING_TESTS, UNSAFE_FILE},
    files::{TextFile, with_extensions},
    tests_with_sleeps::{self, SleepingTest},
};
use crate::workspace::{Problem, Workspace};

/// A file with more lines usually holds two ideas.
pub(super) const LONGEST_FILE: usize = 450;

/// The extensions of the files that must have no trailing whitespace.
const TEXT: [&str; 6] = ["rs", "md", "toml", "yml", "sh", ""];

pub(super) fn problems(workspace: &Workspace) -> Result<Vec<Problem>> {
    let files = with_extensions(workspace.root(), &TEXT)?;
    let mut problems: Vec<_> = files.iter().flat_map(trailing_whitespace).collect();
    let sources: Vec<_> = files
        .iter()
        .filter(|f| f.path.extension() == Some("rs"))
        .collect();
    let mut sleeping = Vec::new();
    for file in &sources {
        problems.extend(source_problems(file, &mut sleeping));
    }
    problems.extend(length_problems(&sources, LONG_FILES));
    problems.extend(tests_with_sleeps::problems(&sleeping, SLEEPING_TESTS));
    Ok(problems)
}

fn trailing_whitespace(file: &TextFile) -> Vec<Problem> {
    let lines = (1..).zip(file.text.lines());
    lines
        .filter(|(_, line)| line.ends_with([' ', '\t']))
        .map(|(number, _)| Problem::at_line(&file.path, number, "has trailing whitespace"))
        .collect()
}

fn length_problems(files: &[&TextFile], exceptions: &[(&str, &str)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut excused: Vec<_> = exceptions.iter().map(|(path, _)| *path).collect();
    for file in files {
        let lines = file.text.lines().count();
        if lines <= LONGEST_FILE {
            continue;
        }
        if let Some(index) = excused.iter().position(|path| *path == file.path) {
            excused.swap_remove(index);
            continue;
        }
        let message = format!(
            "has {lines} lines, more than {LONGEST_FILE}: split it by concept, or add it to \
             LONG_FILES in xtask/src/tidy/exceptions.rs with a reason"
        );
        problems.push(Problem::new(&file.path, message));
    }
    let stale = excused.into_iter().map(|path| {
        Problem::new(
            path,
            "is in LONG_FILES, but is no longer a long file: remove it there",
        )
    });
    problems.extend(stale);
    problems
}

fn source_problems(file: &TextFile, sleeping: &mut Vec<SleepingTest>) -> Vec<Problem> {
    let tokens: TokenStream = match file.text.parse() {
        Ok(tokens) => tokens,
        Err(error) => return vec![Problem::new(&file.path, format!("does not parse: {error}"))],
    };
    let mut scan = Scan {
        file,
        problems: Vec::new(),
        unsafe_expectations: 0,
    };
    scan.tokens(tokens.clone());
    sleeping.extend(tests_with_sleeps::sleeping_tests(file, tokens));
    scan.problems
}

/// One walk over the tokens of a file.
struct Scan<'a> {
    file: &'a TextFile,
    problems: Vec<Problem>,
    unsafe_expectations: usize,
}

impl Scan<'_> {
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    if is_attribute(&tokens[..index], group) {
                        self.attribute(group);
                    }
                    self.tokens(group.stream());
                }
                TokenTree::Ident(name) if is_unfinished(name, &tokens[index + 1..]) => {
                    self.problem(token, format!("contains `{name}!`"));
                }
                _ => {}
            }
        }
    }

    fn attribute(&mut self, attribute: &Group) {
        let tokens: Vec<_> = attribute.stream().into_iter().collect();
        if let [first] = tokens.as_slice()
            && is_ident(first, "ignore")
        {
            self.problem(
                first,
                "`#[ignore]` gives no reason: write `#[ignore = \"…\"]`",
            );
        }
        self.lint_levels(attribute.stream());
    }

    /// `allow(…)` and mentions of `unsafe_code`, also inside `cfg_attr`.
    fn lint_levels(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            if let TokenTree::Group(group) = token {
                if index > 0 && is_ident(&tokens[index - 1], "allow") {
                    self.problem(token, "allows a lint: write `#[expect(…, reason = \"…\")]`");
                }
                self.lint_levels(group.stream());
            }
            if is_ident(token, "unsafe_code") {
                self.unsafe_expectations += 1;
                if self.file.path != UNSAFE_FILE || self.unsafe_expectations > 1 {
                    let message = format!("sets `unsafe_code`, which only {UNSAFE_FILE} may, once");
                    self.problem(token, message);
                }
            }
        }
    }

    fn problem(&mut self, token: &TokenTree, message: impl Into<String>) {
        let line = token.span().start().line;
        self.problems
            .push(Problem::at_line(&self.file.path, line, message));
    }
}

/// Whether `group`, which stands after `before`, is the bracket of `#[…]` or `#![…]`.
pub(super) fn is_attribute(before: &[TokenTree], group: &Group) -> bool {
    let before = match before {
        [rest @ .., bang] if is_punct(bang, '!') => rest,
        all => all,
    };
    group.delimiter() == Delimiter::Bracket && before.last().is_some_and(|t| is_punct(t, '#'))
}

pub(super) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == name)
}

pub(super) fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether `name`, which stands before `after`, calls a macro that marks unfinished code.
fn is_unfinished(name: &Ident, after: &[TokenTree]) -> bool {
    let is_call = matches!(after, [bang, TokenTree::Group(_), ..] if is_punct(bang, '!'));
    is_call && (*name == "todo" || *name == "unimplemented")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    fn found(path: &str, text: &str) -> Vec<String> {
        source_problems(&file(path, text), &mut Vec::new())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn comments_strings_and_expectations_do_not_count() {
        let text = "//! #![allow(dead_code)]\n#[expect(dead_code, reason = \"x\")]\n\
             fn f() { let _ = \"todo!()\"; /* todo!() */ let todo = 1; let _ = todo != 2; }\n\
             #[test]\n#[ignore = \"slow\"]\nfn t() {}\n";
        assert_eq!(found("src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn allow_is_found_also_in_cfg_attr_and_at_the_top() {
        let text = "#![allow(dead_code)]\n#[cfg_attr(test, allow(unused))]\nfn f() {}\n";
        assert_eq!(
            found("src/lib.rs", text),
            [
                "src/lib.rs:1: allows a lint: write `#[expect(…, reason = \"…\")]`",
                "src/lib.rs:2: allows a lint: write `#[expect(…, reason = \"…\")]`",
            ]
        );
    }

    #[test]
    fn unfinished_code_and_unexplained_ignore_are_found() {
        let text = "fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\n#[ignore]\nfn t() {}\n";
        assert_eq!(
            found("src/lib.rs", text),
            [
                "src/lib.rs:1: contains `todo!`",
                "src/lib.rs:2: contains `unimplemented!`",
                "src/lib.rs:3: `#[ignore]` gives no reason: write `#[ignore = \"…\"]`",
            ]
        );
    }

    #[test]
    fn unsafe_code_is_expected_once_in_its_own_file_only() {
        let text = "#[expect(unsafe_code, reason = \"x\")]\nfn f() {}\n";
        assert!(found(UNSAFE_FILE, text).is_empty());
        let message = format!("sets `unsafe_code`, which only {UNSAFE_FILE} may, once");
        assert_eq!(
            found("src/lib.rs", text),
            [format!("src/lib.rs:1: {message}")]
        );
        assert_eq!(
            found(UNSAFE_FILE, &text.repeat(2)),
            [format!("{UNSAFE_FILE}:3: {message}")]
        );
    }

    #[test]
    fn trailing_whitespace_is_found() {
        let problems = trailing_whitespace(&file("a.md", "fine\nnot fine \n\ttab\t\n"));
        let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "a.md:2: has trailing whitespace",
                "a.md:3: has trailing whitespace"
            ]
        );
    }

    #[test]
    fn long_file_needs_an_exception_and_a_stale_exception_is_found() {
        let (long, short) = (
            file("long.rs", &"\n".repeat(451)),
            file("short.rs", &"\n".repeat(450)),
        );
        assert_eq!(length_problems(&[&long, &short], &[]).len(), 1);
        assert!(length_problems(&[&long], &[("long.rs", "one table")]).is_empty());
        let stale = length_problems(&[&short], &[("short.rs", "one table")]);
        assert!(
            stale[0].to_string().contains("no longer a long file"),
            "{stale:?}"
        );
    }

    #[test]
    fn source_that_does_not_parse_is_found() {
        assert!(found("src/lib.rs", "fn f( {")[0].starts_with("src/lib.rs: does not parse"));
    }
}
