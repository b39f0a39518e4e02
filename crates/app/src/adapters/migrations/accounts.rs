/// The tables of users, sessions and tokens: `(version, SQLite, Postgres)`.
pub const ACCOUNT_MIGRATIONS: &[(u32, &str, &str)] = &[(
    1,
    "CREATE TABLE account (
        id BLOB PRIMARY KEY,
        username TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        role TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX account_admin ON account (id) WHERE role = 'admin';
    CREATE TABLE session (
        hash BLOB PRIMARY KEY,
        user_id BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_by_user ON session (user_id);
    CREATE INDEX session_by_end ON session (expires_at);
    CREATE TABLE api_token (
        id BLOB PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        user_id BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX api_token_by_user ON api_token (user_id, id);",
    "CREATE TABLE account (
        id UUID PRIMARY KEY,
        username TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        role TEXT NOT NULL,
        created_at BIGINT NOT NULL
    );
    CREATE INDEX account_admin ON account (id) WHERE role = 'admin';
    CREATE TABLE session (
        hash BYTEA PRIMARY KEY,
        user_id UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX session_by_user ON session (user_id);
    CREATE INDEX session_by_end ON session (expires_at);
    CREATE TABLE api_token (
        id UUID PRIMARY KEY,
        hash BYTEA NOT NULL UNIQUE,
        user_id UUID NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT
    );
    CREATE INDEX api_token_by_user ON api_token (user_id, id);",
)];
