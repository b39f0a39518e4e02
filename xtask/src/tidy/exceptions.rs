//! The exceptions to the rules, each with its reason. One that is no longer needed is a problem.

/// Files that may be longer than [`super::sources::LONGEST_FILE`] lines: (path, reason).
pub(super) const LONG_FILES: &[(&str, &str)] = &[];

/// Tests that may sleep by the wall clock: (path, function, reason).
pub(super) const SLEEPING_TESTS: &[(&str, &str, &str)] = &[];

/// The one file that may expect `unsafe_code`, once.
pub(super) const UNSAFE_FILE: &str = "crates/dev-server/src/spawn.rs";
