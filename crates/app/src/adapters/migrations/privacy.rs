/// The tables of the privacy runs, of erasures, of policies and of the audit log: `(version, SQLite, Postgres)`.
///
/// `present_account` has whoever is not being erased: what authenticates reads that.
pub const PRIVACY_MIGRATIONS: &[(u32, &str, &str)] = &[
    (
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
    ),
    (
        2,
        "CREATE TABLE erasure (
        id BLOB PRIMARY KEY,
        user_id BLOB NOT NULL,
        requested_at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        finished_at INTEGER,
        error TEXT,
        code_hash BLOB UNIQUE
    ) STRICT;
    CREATE UNIQUE INDEX erasure_open ON erasure (user_id)
        WHERE status IN ('pending', 'running', 'failed');
    CREATE INDEX erasure_by_user ON erasure (user_id, id);
    CREATE INDEX erasure_due ON erasure (id) WHERE status IN ('pending', 'running', 'failed');
    CREATE INDEX erasure_completed ON erasure (finished_at) WHERE status = 'completed';
    CREATE VIEW present_account AS
        SELECT id, username, password, role, created_at FROM account
        WHERE NOT EXISTS (SELECT 1 FROM erasure WHERE erasure.user_id = account.id
            AND erasure.status IN ('running', 'failed'));
    CREATE TABLE erasure_rows (
        erasure_id BLOB NOT NULL REFERENCES erasure (id) ON DELETE CASCADE,
        table_name TEXT NOT NULL,
        erased INTEGER NOT NULL,
        PRIMARY KEY (erasure_id, table_name)
    ) STRICT;
    CREATE TABLE tombstone (
        user_id BLOB PRIMARY KEY,
        request_id BLOB NOT NULL,
        erased_at INTEGER NOT NULL
    ) STRICT;",
        "CREATE TABLE erasure (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL,
        requested_at BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        status TEXT NOT NULL,
        finished_at BIGINT,
        error TEXT,
        code_hash BYTEA UNIQUE
    );
    CREATE UNIQUE INDEX erasure_open ON erasure (user_id)
        WHERE status IN ('pending', 'running', 'failed');
    CREATE INDEX erasure_by_user ON erasure (user_id, id);
    CREATE INDEX erasure_due ON erasure (id) WHERE status IN ('pending', 'running', 'failed');
    CREATE INDEX erasure_completed ON erasure (finished_at) WHERE status = 'completed';
    CREATE VIEW present_account AS
        SELECT id, username, password, role, created_at FROM account
        WHERE NOT EXISTS (SELECT 1 FROM erasure WHERE erasure.user_id = account.id
            AND erasure.status IN ('running', 'failed'));
    CREATE TABLE erasure_rows (
        erasure_id UUID NOT NULL REFERENCES erasure (id) ON DELETE CASCADE,
        table_name TEXT NOT NULL,
        erased BIGINT NOT NULL,
        PRIMARY KEY (erasure_id, table_name)
    );
    CREATE TABLE tombstone (
        user_id UUID PRIMARY KEY,
        request_id UUID NOT NULL,
        erased_at BIGINT NOT NULL
    );",
    ),
    POLICIES,
];

/// The policies that were changed, and what was done by whom.
const POLICIES: (u32, &str, &str) = (
    3,
    "CREATE TABLE privacy_policy (
        records TEXT PRIMARY KEY,
        days INTEGER NOT NULL,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
        legal_hold INTEGER NOT NULL CHECK (legal_hold IN (0, 1)),
        reason TEXT,
        version INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit_entry (
        id BLOB PRIMARY KEY,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1)),
        user_id BLOB,
        target TEXT,
        detail TEXT,
        address TEXT,
        request_id BLOB
    ) STRICT;
    CREATE INDEX audit_entry_by_user ON audit_entry (user_id, id);
    CREATE INDEX audit_entry_by_action ON audit_entry (action, id);
    CREATE INDEX audit_entry_by_age ON audit_entry (at);",
    "CREATE TABLE privacy_policy (
        records TEXT PRIMARY KEY,
        days BIGINT NOT NULL,
        enabled BOOLEAN NOT NULL,
        legal_hold BOOLEAN NOT NULL,
        reason TEXT,
        version BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    );
    CREATE TABLE audit_entry (
        id UUID PRIMARY KEY,
        at BIGINT NOT NULL,
        action TEXT NOT NULL,
        succeeded BOOLEAN NOT NULL,
        user_id UUID,
        target TEXT,
        detail TEXT,
        address TEXT,
        request_id UUID
    );
    CREATE INDEX audit_entry_by_user ON audit_entry (user_id, id);
    CREATE INDEX audit_entry_by_action ON audit_entry (action, id);
    CREATE INDEX audit_entry_by_age ON audit_entry (at);",
);
