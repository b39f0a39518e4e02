//! The real binary on a real Postgres.

use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use steadfast_lease::{LeaseLock, PostgresBackend};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tempfile::TempDir;

use crate::{
    accounts,
    client::Client,
    live,
    process::{Server, steadfast},
    start_up::output,
    survival::{self, has_no_gap_until_after, occurrences, wait_until},
};

/// A Postgres server of one's own; none where it is not installed.
pub(crate) async fn postgres() -> Option<PrivatePostgres> {
    server_or_skip(PrivatePostgres::start().await)
}

/// `steadfast serve` on it.
pub(crate) async fn serve(postgres: &PrivatePostgres, data: TempDir) -> Server {
    let variables = [("STEADFAST_DATABASE_URL", &*postgres.url())];
    Server::start_with(data, &variables).await
}

pub(crate) fn new_folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn migrate_makes_the_tables_and_check_finds_them() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let data = new_folder();
    let run = async |arguments: &[&str]| {
        let mut command = steadfast(arguments);
        command
            .env("STEADFAST_DATA_DIR", data.path())
            .env("STEADFAST_DATABASE_URL", postgres.url());
        output(command).await
    };
    let (code, text) = run(&["migrate", "--check"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("pending: scheduler 1"), "{text}");
    let (code, text) = run(&["migrate"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the database is up to date"), "{text}");
    let (code, text) = run(&["migrate", "--check"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("pending"), "{text}");
}

#[tokio::test]
async fn of_a_hundred_concurrent_set_ups_one_wins() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    accounts::one_of_a_hundred_sets_up(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn schedule_fires_and_arrives_on_each_connection_of_its_user_alone() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    live::fires_arrive_on_each_connection(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn client_that_was_away_recovers_what_it_missed_also_over_a_kill() {
    let Some(postgres) = postgres().await else {
        return;
    };
    live::recovers_over_a_kill(|data| serve(&postgres, data)).await;
}

#[tokio::test]
async fn restart_keeps_accounts_schedules_tokens_and_notifications() {
    let Some(postgres) = postgres().await else {
        return;
    };
    survival::restart_keeps_everything(|data| serve(&postgres, data)).await;
}

#[tokio::test]
async fn every_occurrence_is_stored_once_over_kills_between_two_fires() {
    let Some(postgres) = postgres().await else {
        return;
    };
    survival::kills_lose_no_occurrence(|data| serve(&postgres, data)).await;
}

#[tokio::test]
async fn process_killed_mid_fire_stores_the_occurrence_once() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    let ann = Client::admin(&server).await;
    // The fire has its claim, and waits in its transaction for the table of notifications.
    let mut holder = PgConnection::connect(&postgres.url()).await.unwrap();
    for statement in ["BEGIN", "LOCK TABLE notification IN EXCLUSIVE MODE"] {
        sqlx::query(statement).execute(&mut holder).await.unwrap();
    }
    let schedule = json!({"cron": "@every 1s", "tz": "UTC", "title": "tick", "misfire": "all"});
    ann.post("/api/v1/schedules", schedule).await.expect(201);
    let mut watcher = PgConnection::connect(&postgres.url()).await.unwrap();
    wait_until("a fire in the middle of its transaction", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO notification%'",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
    let data = server.kill().await;
    holder.close().await.unwrap();

    let server = serve(&postgres, data).await;
    let ann = Client::log_in(&server, "root").await;
    let restarted = jiff::Timestamp::now();
    wait_until("each occurrence, the one cut off too", async || {
        has_no_gap_until_after(restarted, &occurrences(&ann).await)
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn server_that_is_killed_and_comes_back_costs_no_occurrence() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    let ann = Client::admin(&server).await;
    let schedule = json!({"cron": "@every 1s", "tz": "UTC", "title": "tick", "misfire": "all"});
    ann.post("/api/v1/schedules", schedule).await.expect(201);
    wait_until("a fire", async || !occurrences(&ann).await.is_empty()).await;

    postgres.kill();
    let status = async |wanted| {
        let ready = ann.get("/readyz").await;
        ready.status.as_u16() == wanted
    };
    wait_until("not ready", async || status(503).await).await;
    postgres.restart().await.unwrap();
    wait_until("ready again", async || status(200).await).await;
    let restarted = jiff::Timestamp::now();
    wait_until("each occurrence", async || {
        has_no_gap_until_after(restarted, &occurrences(&ann).await)
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn second_process_on_the_database_is_refused_until_the_first_is_dead() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let first = serve(&postgres, new_folder()).await;
    let other = new_folder();
    let mut second = crate::start_up::serve(other.path());
    second.env("STEADFAST_DATABASE_URL", postgres.url());
    let (code, text) = output(second).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("another process holds the database"),
        "{text}"
    );

    first.kill().await;
    let second = serve(&postgres, other).await;
    second.stop().await;
}

#[tokio::test]
async fn privacy_run_that_meets_one_of_another_process_is_recorded_as_skipped() {
    let Some(postgres) = postgres().await else {
        return;
    };
    let server = serve(&postgres, new_folder()).await;
    let admin = Client::admin(&server).await;
    let pool = PgPool::connect(&postgres.url()).await.unwrap();
    let backend = std::sync::Arc::new(PostgresBackend::new(pool));
    let lock = LeaseLock::builder(backend, "privacy/cleanup", "another process");
    crate::privacy_lock::meets_another(&admin, lock.build().unwrap()).await;
    let health = admin.get("/api/v1/admin/health").await.expect(200);
    assert_eq!(health["database"]["kind"], "postgres");
    assert_eq!(health["database"]["pools"][0]["name"], "database");
    server.stop().await;
}
