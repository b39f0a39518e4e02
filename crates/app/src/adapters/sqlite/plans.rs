//! The statements whose cost must not grow with the tables: each finds what it wants by an index.

use sqlx::{AssertSqlSafe, Row as _, sqlite::SqlitePoolOptions, sqlite::SqliteRow};
use steadfast_notifications::Order;

use super::{
    delivery_store::{DUE, FREE},
    event_log::{EVENTS, PRUNE},
    notification_store::{IS_ENABLED, READ_UP_TO, SET_OCCURRENCE, list_sql},
    outbox_store::{CLAIM, PENDING, PUSHED, RELEASE},
    schedule_store::{LIST, OUT_OF_SYNC},
};
use crate::adapters::NOTIFICATION_MIGRATIONS;

#[tokio::test]
async fn hot_statements_search_the_index_made_for_them() {
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect("sqlite::memory:").await.unwrap();
    for (_, tables, _) in NOTIFICATION_MIGRATIONS {
        sqlx::raw_sql(*tables).execute(&pool).await.unwrap();
    }
    let (newest, oldest) = (
        Order::NewestFirst { before: None },
        Order::OldestFirst { after: 0 },
    );
    for (sql, index) in [
        (
            list_sql(newest, false),
            "notification_by_seq (user_id=? AND seq<?)",
        ),
        (
            list_sql(newest, true),
            "notification_unread (user_id=? AND seq<?)",
        ),
        (
            list_sql(oldest, false),
            "notification_by_seq (user_id=? AND seq>?)",
        ),
        (
            list_sql(oldest, true),
            "notification_unread (user_id=? AND seq>?)",
        ),
        (READ_UP_TO, "notification_unread (user_id=? AND seq<?)"),
        (EVENTS, "user_event_1 (user_id=? AND position>?)"),
        (PRUNE, "user_event_1 (user_id=? AND position<?)"),
        (IS_ENABLED, "schedule_1 (id=?)"),
        (SET_OCCURRENCE, ""),
        (PENDING, "user_log_pending (available_at<?)"),
        (CLAIM, "PRIMARY KEY (user_id=?)"),
        (PUSHED, "PRIMARY KEY (user_id=?)"),
        (RELEASE, "user_log_pending (available_at>?)"),
        (FREE, "channel_due (due_at<?)"),
        (DUE, "delivery_due (channel_id=? AND available_at<?)"),
        (LIST, "schedule_by_user (user_id=? AND id>?)"),
        (OUT_OF_SYNC, "schedule_out_of_sync (id>?)"),
    ] {
        let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = (0..5).fold(sqlx::query(explained), |query, _| query.bind(0));
        let plan: Vec<String> = plan
            .try_map(|row: SqliteRow| row.try_get("detail"))
            .fetch_all(&pool)
            .await
            .unwrap();
        let plan = plan.join("; ");
        let flat = !plan.contains("SCAN") && !plan.contains("TEMP B-TREE");
        assert!(flat && plan.contains(index), "{sql}: {plan}");
    }
}
