//! The exceptions to the rules, each with its reason. One that is no longer needed is a problem.

/// Files that may be longer than [`super::sources::LONGEST_FILE`] lines: (path, reason).
pub(super) const LONG_FILES: &[(&str, &str)] = &[];

/// Tests that may sleep by the wall clock: (path, function, reason).
pub(super) const SLEEPING_TESTS: &[(&str, &str, &str)] = &[(
    "crates/app/tests/it/survival.rs",
    "every_occurrence_is_stored_once_over_kills_between_two_fires",
    "a killed process has to stay dead across fires, and another process's time cannot be paused",
)];

/// The one file that may expect `unsafe_code`, once.
pub(super) const UNSAFE_FILE: &str = "crates/dev-server/src/spawn.rs";
