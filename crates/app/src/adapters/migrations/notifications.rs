/// The tables of schedules and notifications: `(version, SQLite, Postgres)`.
///
/// Times are microseconds since the epoch. `user_log` is a user's counters and, by its last
/// columns, the outbox: a user with events that were not pushed yet has an `available_at`.
/// A channel with deliveries that are pending has a `due_at`: when the first of them is due.
/// Users are accounts of somebody else's table, which is deliberately not referred to.
pub const NOTIFICATION_MIGRATIONS: &[(u32, &str, &str)] = &[
    (
        1,
        "CREATE TABLE schedule (
        id BLOB PRIMARY KEY,
        user_id BLOB NOT NULL,
        version INTEGER NOT NULL,
        synced_version INTEGER NOT NULL DEFAULT 0,
        cron TEXT NOT NULL,
        dialect TEXT NOT NULL,
        tz TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        channels TEXT NOT NULL,
        misfire TEXT NOT NULL,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
        removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX schedule_by_user ON schedule (user_id, id) WHERE removed = 0;
    CREATE INDEX schedule_out_of_sync ON schedule (id) WHERE synced_version <> version;
    CREATE TABLE occurrence (
        schedule_id BLOB NOT NULL,
        scheduled_for INTEGER NOT NULL,
        stored_at INTEGER NOT NULL,
        PRIMARY KEY (schedule_id, scheduled_for)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX occurrence_by_age ON occurrence (stored_at);
    CREATE TABLE notification (
        id BLOB PRIMARY KEY,
        user_id BLOB NOT NULL,
        seq INTEGER NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        topic TEXT,
        urgent INTEGER NOT NULL CHECK (urgent IN (0, 1)),
        schedule_id BLOB,
        scheduled_for INTEGER,
        created_at INTEGER NOT NULL,
        read_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX notification_by_seq ON notification (user_id, seq);
    CREATE INDEX notification_unread ON notification (user_id, seq) WHERE read_at IS NULL;
    CREATE INDEX notification_read_by_age ON notification (read_at) WHERE read_at IS NOT NULL;
    CREATE INDEX notification_unread_by_age ON notification (created_at) WHERE read_at IS NULL;
    CREATE TABLE idempotency_key (
        caller BLOB NOT NULL,
        name TEXT NOT NULL,
        body_hash BLOB NOT NULL,
        answer TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (caller, name)
    ) STRICT;
    CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
    CREATE TABLE user_log (
        user_id BLOB PRIMARY KEY,
        seq INTEGER NOT NULL,
        position INTEGER NOT NULL,
        pushed INTEGER NOT NULL DEFAULT 0,
        available_at INTEGER,
        claims INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX user_log_pending ON user_log (available_at) WHERE available_at IS NOT NULL;
    CREATE TABLE user_event (
        user_id BLOB NOT NULL,
        position INTEGER NOT NULL,
        payload TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (user_id, position)
    ) STRICT;
    CREATE INDEX user_event_by_age ON user_event (created_at);
    CREATE TABLE event_epoch (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch TEXT NOT NULL
    ) STRICT;
    INSERT INTO event_epoch VALUES (1, lower(hex(randomblob(8))));",
        "CREATE TABLE schedule (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL,
        version BIGINT NOT NULL,
        synced_version BIGINT NOT NULL DEFAULT 0,
        cron TEXT NOT NULL,
        dialect TEXT NOT NULL,
        tz TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        channels TEXT NOT NULL,
        misfire TEXT NOT NULL,
        enabled BOOLEAN NOT NULL,
        removed BOOLEAN NOT NULL DEFAULT FALSE,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    );
    CREATE INDEX schedule_by_user ON schedule (user_id, id) WHERE NOT removed;
    CREATE INDEX schedule_out_of_sync ON schedule (id) WHERE synced_version <> version;
    CREATE TABLE occurrence (
        schedule_id UUID NOT NULL,
        scheduled_for BIGINT NOT NULL,
        stored_at BIGINT NOT NULL,
        PRIMARY KEY (schedule_id, scheduled_for)
    );
    CREATE INDEX occurrence_by_age ON occurrence (stored_at);
    CREATE TABLE notification (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL,
        seq BIGINT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        topic TEXT,
        urgent BOOLEAN NOT NULL,
        schedule_id UUID,
        scheduled_for BIGINT,
        created_at BIGINT NOT NULL,
        read_at BIGINT
    );
    CREATE UNIQUE INDEX notification_by_seq ON notification (user_id, seq);
    CREATE INDEX notification_unread ON notification (user_id, seq) WHERE read_at IS NULL;
    CREATE INDEX notification_read_by_age ON notification (read_at) WHERE read_at IS NOT NULL;
    CREATE INDEX notification_unread_by_age ON notification (created_at) WHERE read_at IS NULL;
    CREATE TABLE idempotency_key (
        caller UUID NOT NULL,
        name TEXT NOT NULL,
        body_hash BYTEA NOT NULL,
        answer TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (caller, name)
    );
    CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
    CREATE TABLE user_log (
        user_id UUID PRIMARY KEY,
        seq BIGINT NOT NULL,
        position BIGINT NOT NULL,
        pushed BIGINT NOT NULL DEFAULT 0,
        available_at BIGINT,
        claims BIGINT NOT NULL DEFAULT 0,
        failures BIGINT NOT NULL DEFAULT 0
    );
    CREATE INDEX user_log_pending ON user_log (available_at) WHERE available_at IS NOT NULL;
    CREATE TABLE user_event (
        user_id UUID NOT NULL,
        position BIGINT NOT NULL,
        payload TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (user_id, position)
    );
    CREATE INDEX user_event_by_age ON user_event (created_at);
    CREATE TABLE event_epoch (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch TEXT NOT NULL
    );
    INSERT INTO event_epoch VALUES (1, left(replace(gen_random_uuid()::text, '-', ''), 16));",
    ),
    (
        2,
        "CREATE TABLE preference (
        user_id BLOB PRIMARY KEY,
        version INTEGER NOT NULL,
        tz TEXT NOT NULL,
        quiet_hours TEXT,
        digest TEXT,
        channels TEXT NOT NULL,
        updated_at INTEGER
    ) STRICT;",
        "CREATE TABLE preference (
        user_id UUID PRIMARY KEY,
        version BIGINT NOT NULL,
        tz TEXT NOT NULL,
        quiet_hours TEXT,
        digest TEXT,
        channels TEXT NOT NULL,
        updated_at BIGINT
    );",
    ),
    (
        3,
        "CREATE TABLE channel (
        id BLOB PRIMARY KEY,
        user_id BLOB NOT NULL,
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        target TEXT NOT NULL,
        secret TEXT,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        due_at INTEGER,
        claims INTEGER NOT NULL DEFAULT 0,
        claimed_until INTEGER
    ) STRICT;
    CREATE INDEX channel_by_user ON channel (user_id, id);
    CREATE INDEX channel_due ON channel (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX channel_claimed ON channel (id) WHERE claimed_until IS NOT NULL;
    CREATE TABLE delivery (
        id BLOB PRIMARY KEY,
        user_id BLOB NOT NULL,
        channel_id BLOB NOT NULL,
        notification_id BLOB NOT NULL,
        state TEXT NOT NULL,
        digest INTEGER NOT NULL CHECK (digest IN (0, 1)),
        urgent INTEGER NOT NULL CHECK (urgent IN (0, 1)),
        available_at INTEGER NOT NULL,
        pending_since INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        created_at INTEGER NOT NULL,
        finished_at INTEGER,
        UNIQUE (channel_id, notification_id)
    ) STRICT;
    CREATE INDEX delivery_by_user ON delivery (user_id, id);
    CREATE INDEX delivery_by_state ON delivery (user_id, state, id);
    CREATE INDEX delivery_due ON delivery (channel_id, available_at, id)
        WHERE state = 'pending';
    CREATE INDEX delivery_pending ON delivery (available_at) WHERE state = 'pending';
    CREATE INDEX delivery_dead ON delivery (id) WHERE state = 'dead';
    CREATE INDEX delivery_by_age ON delivery (finished_at) WHERE finished_at IS NOT NULL;",
        "CREATE TABLE channel (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL,
        version BIGINT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        target TEXT NOT NULL,
        secret TEXT,
        enabled BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        due_at BIGINT,
        claims BIGINT NOT NULL DEFAULT 0,
        claimed_until BIGINT
    );
    CREATE INDEX channel_by_user ON channel (user_id, id);
    CREATE INDEX channel_due ON channel (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX channel_claimed ON channel (id) WHERE claimed_until IS NOT NULL;
    CREATE TABLE delivery (
        id UUID PRIMARY KEY,
        user_id UUID NOT NULL,
        channel_id UUID NOT NULL,
        notification_id UUID NOT NULL,
        state TEXT NOT NULL,
        digest BOOLEAN NOT NULL,
        urgent BOOLEAN NOT NULL,
        available_at BIGINT NOT NULL,
        pending_since BIGINT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0,
        last_error TEXT,
        created_at BIGINT NOT NULL,
        finished_at BIGINT,
        UNIQUE (channel_id, notification_id)
    );
    CREATE INDEX delivery_by_user ON delivery (user_id, id);
    CREATE INDEX delivery_by_state ON delivery (user_id, state, id);
    CREATE INDEX delivery_due ON delivery (channel_id, available_at, id)
        WHERE state = 'pending';
    CREATE INDEX delivery_pending ON delivery (available_at) WHERE state = 'pending';
    CREATE INDEX delivery_dead ON delivery (id) WHERE state = 'dead';
    CREATE INDEX delivery_by_age ON delivery (finished_at) WHERE finished_at IS NOT NULL;",
    ),
    (
        4,
        "CREATE INDEX schedule_of_user ON schedule (user_id);",
        "CREATE INDEX schedule_of_user ON schedule (user_id);",
    ),
];
