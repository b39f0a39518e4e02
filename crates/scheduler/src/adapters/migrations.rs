/// The tables of the job stores: version, statements for SQLite, statements for Postgres, in the
/// order in which they are to be applied. Instants are milliseconds since the epoch.
pub const MIGRATIONS: &[(u32, &str, &str)] =
    &[(1, SQLITE_1, POSTGRES_1), (2, SQLITE_2, POSTGRES_2)];

const SQLITE_1: &str = "
CREATE TABLE sched_counter (
  ns TEXT PRIMARY KEY,
  value INTEGER NOT NULL
);
CREATE TABLE sched_job (
  ns TEXT NOT NULL,
  key TEXT NOT NULL,
  gen INTEGER NOT NULL,
  spec TEXT NOT NULL,
  dialect TEXT NOT NULL,
  tz TEXT NOT NULL,
  policy TEXT NOT NULL,
  next_fire_at INTEGER,
  due_at INTEGER,
  last_scheduled_for INTEGER,
  manual_for INTEGER,
  manual_wanted INTEGER NOT NULL DEFAULT 0,
  busy_from INTEGER,
  busy_until INTEGER,
  paused INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  last_run_for INTEGER,
  last_finished_at INTEGER,
  last_outcome TEXT,
  PRIMARY KEY (ns, key)
);
CREATE INDEX sched_job_due ON sched_job (ns, due_at) WHERE due_at IS NOT NULL;
CREATE TABLE sched_run (
  ns TEXT NOT NULL,
  key TEXT NOT NULL,
  scheduled_for INTEGER NOT NULL,
  gen INTEGER NOT NULL,
  cause TEXT NOT NULL,
  fence INTEGER NOT NULL,
  owner TEXT NOT NULL,
  lease_until INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'released', 'done')),
  attempts INTEGER NOT NULL DEFAULT 1,
  finished_at INTEGER,
  outcome TEXT,
  PRIMARY KEY (ns, key, scheduled_for)
);
CREATE INDEX sched_run_lease ON sched_run (ns, lease_until) WHERE finished_at IS NULL;
CREATE INDEX sched_run_active ON sched_run (ns, key) WHERE finished_at IS NULL;
CREATE INDEX sched_run_finished ON sched_run (ns, finished_at) WHERE finished_at IS NOT NULL;
";

const POSTGRES_1: &str = "
CREATE TABLE sched_counter (
  ns TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
CREATE TABLE sched_job (
  ns TEXT NOT NULL,
  key TEXT NOT NULL,
  gen BIGINT NOT NULL,
  spec TEXT NOT NULL,
  dialect TEXT NOT NULL,
  tz TEXT NOT NULL,
  policy TEXT NOT NULL,
  next_fire_at BIGINT,
  due_at BIGINT,
  last_scheduled_for BIGINT,
  manual_for BIGINT,
  manual_wanted BOOLEAN NOT NULL DEFAULT FALSE,
  busy_from BIGINT,
  busy_until BIGINT,
  paused BOOLEAN NOT NULL DEFAULT FALSE,
  skipped BIGINT NOT NULL DEFAULT 0,
  last_run_for BIGINT,
  last_finished_at BIGINT,
  last_outcome TEXT,
  PRIMARY KEY (ns, key)
);
CREATE INDEX sched_job_due ON sched_job (ns, due_at) WHERE due_at IS NOT NULL;
CREATE TABLE sched_run (
  ns TEXT NOT NULL,
  key TEXT NOT NULL,
  scheduled_for BIGINT NOT NULL,
  gen BIGINT NOT NULL,
  cause TEXT NOT NULL,
  fence BIGINT NOT NULL,
  owner TEXT NOT NULL,
  lease_until BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'released', 'done')),
  attempts INTEGER NOT NULL DEFAULT 1,
  finished_at BIGINT,
  outcome TEXT,
  PRIMARY KEY (ns, key, scheduled_for)
);
CREATE INDEX sched_run_lease ON sched_run (ns, lease_until) WHERE finished_at IS NULL;
CREATE INDEX sched_run_active ON sched_run (ns, key) WHERE finished_at IS NULL;
CREATE INDEX sched_run_finished ON sched_run (ns, finished_at) WHERE finished_at IS NOT NULL;
";

/// Of concern to Postgres alone.
const SQLITE_2: &str = "SELECT 1;";

/// Numbers come from a sequence: a row that counts would have all processes wait for each other.
/// Keys are compared byte by byte, so that everybody locks jobs in the same order.
const POSTGRES_2: &str = r#"
DROP TABLE sched_counter;
CREATE SEQUENCE sched_number;
ALTER TABLE sched_job ALTER ns TYPE TEXT COLLATE "C", ALTER key TYPE TEXT COLLATE "C";
ALTER TABLE sched_run ALTER ns TYPE TEXT COLLATE "C", ALTER key TYPE TEXT COLLATE "C";
"#;
