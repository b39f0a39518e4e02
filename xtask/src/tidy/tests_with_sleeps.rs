//! Tests that sleep by the wall clock: slow when the machine is idle, wrong when it is busy.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{
    files::TextFile,
    sources::{is_attribute, is_ident, is_punct},
};
use crate::workspace::Problem;

/// A test function that sleeps.
#[derive(Debug)]
pub(super) struct SleepingTest {
    path: String,
    name: String,
    line: usize,
    remedy: &'static str,
}

/// Finds `thread::sleep` in test functions, and tokio's `sleep` in those without paused time.
///
/// Only the bodies of the functions that carry a test attribute are read: what a helper does
/// while it polls for a value is its own affair. A plain `#[test]` has paused time if its file
/// builds a runtime with it.
pub(super) fn sleeping_tests(file: &TextFile, tokens: TokenStream) -> Vec<SleepingTest> {
    let mut found = Vec::new();
    let builds_paused = builds_paused_runtime(tokens.clone());
    collect_tests(tokens, builds_paused, &mut |name, (line, remedy)| {
        let path = file.path.to_string();
        found.push(SleepingTest {
            path,
            name,
            line,
            remedy,
        });
    });
    found
}

/// What remains of `found` after the exceptions, which are (path, function, reason).
pub(super) fn problems(found: &[SleepingTest], exceptions: &[(&str, &str, &str)]) -> Vec<Problem> {
    let excuses = |(path, name, _): &(&str, &str, &str), test: &SleepingTest| {
        test.path == *path && test.name == *name
    };
    let sleeping = found
        .iter()
        .filter(|test| !exceptions.iter().any(|e| excuses(e, test)));
    let stale = exceptions
        .iter()
        .filter(|e| !found.iter().any(|test| excuses(e, test)));
    let sleeping = sleeping.map(|test| {
        let message = format!("`{}` sleeps by the wall clock: {}", test.name, test.remedy);
        Problem::at_line(test.path.as_str().into(), test.line, message)
    });
    let stale = stale.map(|(path, name, _)| {
        let message = format!("`{name}` is in SLEEPING_TESTS, but does not sleep: remove it there");
        Problem::new(path, message)
    });
    sleeping.chain(stale).collect()
}

/// The line of a sleep, and what to do instead.
type Sleep = (usize, &'static str);

fn collect_tests(tokens: TokenStream, builds_paused: bool, found: &mut impl FnMut(String, Sleep)) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut attributes: Vec<Group> = Vec::new();
    let mut name = None;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_attribute(&tokens[..index], group) => {
                attributes.push(group.clone());
            }
            TokenTree::Ident(_) if index > 0 && is_ident(&tokens[index - 1], "fn") => {
                name = Some(token.to_string());
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let is_paused = attributes.iter().any(|a| {
                    is_paused(a.stream()) || builds_paused && a.stream().to_string() == "test"
                });
                if let Some(name) = name.take().filter(|_| attributes.iter().any(is_test))
                    && let Some(sleep) = first_sleep(group, is_paused)
                {
                    found(name, sleep);
                }
                attributes.clear();
                collect_tests(group.stream(), builds_paused, found);
            }
            _ => {}
        }
    }
}

/// Whether an attribute is `test`, or a path that ends with it, such as `tokio::test(…)`.
fn is_test(attribute: &Group) -> bool {
    let is_path = |t: &TokenTree| matches!(t, TokenTree::Ident(_)) || is_punct(t, ':');
    let path = attribute.stream().into_iter().take_while(is_path);
    path.last().is_some_and(|last| is_ident(&last, "test"))
}

fn is_paused(tokens: TokenStream) -> bool {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let is_set =
        |window: &[TokenTree]| is_ident(&window[0], "start_paused") && is_ident(&window[2], "true");
    tokens.windows(3).any(is_set)
        || tokens
            .iter()
            .any(|t| matches!(t, TokenTree::Group(g) if is_paused(g.stream())))
}

/// Whether `start_paused(true)` is called anywhere.
fn builds_paused_runtime(tokens: TokenStream) -> bool {
    let tokens: Vec<_> = tokens.into_iter().collect();
    tokens.iter().enumerate().any(|(index, token)| {
        let TokenTree::Group(group) = token else {
            return false;
        };
        let is_argument = index > 0 && is_ident(&tokens[index - 1], "start_paused");
        (is_argument && group.stream().to_string() == "true")
            || builds_paused_runtime(group.stream())
    })
}

fn first_sleep(body: &Group, is_paused: bool) -> Option<Sleep> {
    let tokens: Vec<_> = body.stream().into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            if let Some(found) = first_sleep(group, is_paused) {
                return Some(found);
            }
            continue;
        }
        let is_called = matches!(tokens.get(index + 1), Some(TokenTree::Group(_)));
        let is_method = index > 0 && is_punct(&tokens[index - 1], '.');
        let is_sleep = is_ident(token, "sleep") || is_ident(token, "sleep_until");
        if !is_sleep || !is_called || is_method {
            continue;
        }
        let line = token.span().start().line;
        if index >= 3 && is_ident(&tokens[index - 3], "thread") {
            return Some((line, "wait on a value instead"));
        }
        if !is_paused {
            return Some((line, "add `start_paused = true`, or wait on a value"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let file = TextFile {
            path: "tests/it/main.rs".into(),
            text: text.to_owned(),
        };
        let problems = problems(&sleeping_tests(&file, text.parse().unwrap()), &[]);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paused_time_helpers_and_methods_are_fine() {
        let text = "#[tokio::test(flavor = \"current_thread\", start_paused = true)]\n\
             async fn a() { tokio::time::sleep(d).await }\n\
             fn helper() { std::thread::sleep(d) }\n\
             #[test]\nfn b() { self.sleep(d); let sleep = 1; }\n";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn sleep_without_paused_time_is_found_in_nested_code() {
        let text = "mod m {\n#[tokio::test]\nasync fn a() {\n  if x { sleep(d).await }\n}\n}\n";
        assert_eq!(
            found(text),
            [
                "tests/it/main.rs:4: `a` sleeps by the wall clock: add `start_paused = true`, or \
              wait on a value"
            ]
        );
    }

    #[test]
    fn thread_sleep_is_found_also_under_paused_time() {
        let text = "#[tokio::test(start_paused = true)]\nasync fn a() { std::thread::sleep(d) }\n";
        assert_eq!(
            found(text),
            ["tests/it/main.rs:2: `a` sleeps by the wall clock: wait on a value instead"]
        );
    }

    #[test]
    fn plain_test_needs_a_paused_runtime_in_its_file() {
        let text = "#[test]\nfn a() { block_on(async { sleep(d).await }) }\n";
        assert_eq!(found(text).len(), 1);
        let paused = "fn runtime() { Builder::new().start_paused(true).build() }\n";
        assert_eq!(found(&format!("{paused}{text}")), [""; 0]);
        let tokio_test = text.replace("#[test]\nfn", "#[tokio::test]\nasync fn");
        assert_eq!(found(&format!("{paused}{tokio_test}")).len(), 1);
    }

    #[test]
    fn test_inside_a_macro_call_is_read() {
        let text = "proptest! {\n#[test]\nfn a(x in 0..9) { thread::sleep(d) }\n}\n";
        assert_eq!(found(text).len(), 1);
    }

    #[test]
    fn exception_excuses_and_a_stale_one_is_found() {
        let text = "#[test]\nfn a() { thread::sleep(d) }\n";
        let file = TextFile {
            path: "it.rs".into(),
            text: text.to_owned(),
        };
        let found = sleeping_tests(&file, text.parse().unwrap());
        assert!(problems(&found, &[("it.rs", "a", "a reason")]).is_empty());
        let stale = problems(&[], &[("it.rs", "a", "a reason")]);
        assert!(stale[0].to_string().contains("does not sleep"), "{stale:?}");
    }
}
