//! Schedules, occurrences, notifications and their delivery: rules and ports, no SQL, no HTTP.
