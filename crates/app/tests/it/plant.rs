//! Records of each kind and of any age, as rows.

use jiff::Timestamp;
use sqlx::SqlitePool;
use steadfast_privacy::Records;
use uuid::Uuid;

/// Adds one record of a kind and an age.
pub(crate) async fn sqlite(
    writer: &SqlitePool,
    id: Uuid,
    user: Uuid,
    records: Records,
    at: Timestamp,
) {
    let notification = "INSERT INTO notification
        (id, user_id, seq, title, body, urgent, created_at, read_at)
        SELECT ?1, ?2, count(*), 'Title', '', 0,";
    let sql = match records {
        Records::ReadNotifications => format!("{notification} 0, ?3 FROM notification"),
        Records::UnreadNotifications => format!("{notification} ?3, NULL FROM notification"),
        Records::UserEvents => "INSERT INTO user_event
            SELECT ?2, count(*), '{}', ?3 FROM user_event WHERE ?1 <> x''"
            .to_owned(),
        Records::Occurrences => "INSERT INTO occurrence VALUES (?1, length(?2), ?3)".to_owned(),
        Records::IdempotencyKeys => "INSERT INTO idempotency_key
            VALUES (?2, hex(?1), x'', '{}', ?3, ?3)"
            .to_owned(),
        Records::Sessions => "INSERT INTO session VALUES (?1, ?2, 0, ?3)".to_owned(),
        Records::AuditEntries => "INSERT INTO audit_entry
            SELECT ?1, ?3, 'login', 1, ?2, NULL, NULL, NULL, NULL"
            .to_owned(),
        Records::PrivacyRuns => "INSERT INTO privacy_run
            SELECT ?1, 'cleanup', 'api', ?3, NULL, 'failed', NULL, NULL WHERE ?2 <> x''"
            .to_owned(),
        unknown => panic!("{unknown} have no table here"),
    };
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(user)
        .bind(at.as_microsecond())
        .execute(writer)
        .await
        .unwrap();
}

/// Adds one record of a kind and an age.
pub(crate) async fn postgres(
    to: impl sqlx::PgExecutor<'_>,
    id: Uuid,
    user: Uuid,
    records: Records,
    at: Timestamp,
) {
    let notification = "INSERT INTO notification
        (id, user_id, seq, title, body, urgent, created_at, read_at)
        SELECT $1::uuid, $2::uuid, count(*), 'Title', '', FALSE,";
    let sql = match records {
        Records::ReadNotifications => format!("{notification} 0, $3::bigint FROM notification"),
        Records::UnreadNotifications => {
            format!("{notification} $3::bigint, NULL FROM notification")
        }
        Records::UserEvents => "INSERT INTO user_event
            SELECT $2::uuid, count(*), '{}', $3::bigint FROM user_event WHERE $1::uuid IS NOT NULL"
            .to_owned(),
        Records::Occurrences => {
            "INSERT INTO occurrence SELECT $1::uuid, 1, $3::bigint WHERE $2::uuid IS NOT NULL"
                .to_owned()
        }
        Records::IdempotencyKeys => "INSERT INTO idempotency_key
            VALUES ($2::uuid, $1::uuid::text, '', '{}', $3::bigint, $3::bigint)"
            .to_owned(),
        Records::Sessions => {
            "INSERT INTO session VALUES (uuid_send($1::uuid), $2::uuid, 0, $3::bigint)".to_owned()
        }
        Records::AuditEntries => "INSERT INTO audit_entry SELECT $1::uuid, $3::bigint, 'login',
            TRUE, $2::uuid, NULL, NULL, NULL, NULL"
            .to_owned(),
        Records::PrivacyRuns => "INSERT INTO privacy_run
            SELECT $1::uuid, 'cleanup', 'api', $3::bigint, NULL, 'failed', NULL, NULL
            WHERE $2::uuid IS NOT NULL"
            .to_owned(),
        unknown => panic!("{unknown} have no table here"),
    };
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(user)
        .bind(at.as_microsecond())
        .execute(to)
        .await
        .unwrap();
}
