/// The tables of the privacy runs: `(version, SQLite, Postgres)`.
pub const PRIVACY_MIGRATIONS: &[(u32, &str, &str)] = &[(
    1,
    "CREATE TABLE privacy_run (
        id BLOB PRIMARY KEY,
        operation TEXT NOT NULL,
        trigger_name TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        status TEXT NOT NULL,
        error TEXT,
        report TEXT
    ) STRICT;
    CREATE INDEX privacy_run_by_operation ON privacy_run (operation, id);
    CREATE INDEX privacy_run_by_status ON privacy_run (operation, status, id);
    CREATE INDEX privacy_run_by_age ON privacy_run (started_at);
    CREATE TABLE privacy_run_policy (
        run_id BLOB NOT NULL REFERENCES privacy_run (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        records TEXT NOT NULL,
        status TEXT NOT NULL,
        cutoff INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        error TEXT,
        PRIMARY KEY (run_id, place)
    ) STRICT, WITHOUT ROWID;",
    "CREATE TABLE privacy_run (
        id UUID PRIMARY KEY,
        operation TEXT NOT NULL,
        trigger_name TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        finished_at BIGINT,
        status TEXT NOT NULL,
        error TEXT,
        report TEXT
    );
    CREATE INDEX privacy_run_by_operation ON privacy_run (operation, id);
    CREATE INDEX privacy_run_by_status ON privacy_run (operation, status, id);
    CREATE INDEX privacy_run_by_age ON privacy_run (started_at);
    CREATE TABLE privacy_run_policy (
        run_id UUID NOT NULL REFERENCES privacy_run (id) ON DELETE CASCADE,
        place BIGINT NOT NULL,
        records TEXT NOT NULL,
        status TEXT NOT NULL,
        cutoff BIGINT NOT NULL,
        deleted BIGINT NOT NULL,
        error TEXT,
        PRIMARY KEY (run_id, place)
    );",
)];
