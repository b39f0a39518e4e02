/// The tables of the SQL backends and of fenced writes: version, statements for SQLite, statements
/// for Postgres, in the order in which they are to be applied. Instants of SQLite are microseconds.
pub const MIGRATIONS: &[(u32, &str, &str)] =
    &[(1, SQLITE_1, POSTGRES_1), (2, SQLITE_2, POSTGRES_2)];

const SQLITE_1: &str = "
CREATE TABLE lease_lock (
  key TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  held INTEGER NOT NULL,
  boot TEXT NOT NULL,
  until_monotonic INTEGER NOT NULL,
  until_wall INTEGER NOT NULL,
  ttl INTEGER NOT NULL
) WITHOUT ROWID;
";

const POSTGRES_1: &str = r#"
CREATE TABLE lease_lock (
  key TEXT COLLATE "C" PRIMARY KEY,
  owner TEXT NOT NULL,
  fence BIGINT NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
);
"#;

const SQLITE_2: &str = "
CREATE TABLE lease_fence (
  resource TEXT PRIMARY KEY,
  fence INTEGER NOT NULL
) WITHOUT ROWID;
";

const POSTGRES_2: &str = r#"
CREATE TABLE lease_fence (
  resource TEXT COLLATE "C" PRIMARY KEY,
  fence BIGINT NOT NULL
);
"#;
