//! One race-free database initialisation on sqlx: joined callers, classified errors, migrations exactly once.
