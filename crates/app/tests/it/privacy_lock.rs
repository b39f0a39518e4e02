//! The lock of the privacy operations is in the database: it holds between processes.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use steadfast_lease::{LeaseLock, SqliteBackend};

use crate::{
    client::Client,
    process::{PATIENCE, Server},
};

#[tokio::test]
async fn run_that_meets_one_of_another_process_is_recorded_as_skipped() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let options = SqliteConnectOptions::new().filename(server.data().join("steadfast.db"));
    let pool = SqlitePoolOptions::new().connect_with(options.busy_timeout(PATIENCE));
    let backend = std::sync::Arc::new(SqliteBackend::new(pool.await.unwrap()));
    let lock = LeaseLock::builder(backend, "privacy/cleanup", "another process");
    meets_another(&admin, lock.build().unwrap()).await;
}

/// Runs the cleanup while another process holds its lock, and once more when it does not.
pub(crate) async fn meets_another(admin: &Client, lock: LeaseLock) {
    let asked = json!({"operation": "cleanup"});
    let other = lock.run(async |_| {
        let answer = admin.post("/api/v1/privacy/runs", asked.clone()).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
        let ended = until_last_is(admin, |status| status != "running").await;
        assert_eq!(ended, "skipped");
    });
    other.await.unwrap();

    let answer = admin.post("/api/v1/privacy/runs", asked).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    until_last_is(admin, |status| status == "succeeded").await;
}

#[tokio::test]
async fn lease_of_a_run_at_work_is_shown_to_operators() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    assert_eq!(leases(&admin).await, json!([]));
    let options = SqliteConnectOptions::new().filename(server.data().join("steadfast.db"));
    let pool = SqlitePoolOptions::new().connect_with(options.busy_timeout(PATIENCE));
    let pool = pool.await.unwrap();
    // So many batches that it takes seconds; again, if nobody looked in that time.
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 20000)
                INSERT OR IGNORE INTO idempotency_key SELECT x'00', n, x'00', '', 0, 0 FROM n";
    let seen = async {
        loop {
            sqlx::query(many).execute(&pool).await.unwrap();
            let asked = json!({"operation": "cleanup"});
            let answer = admin.post("/api/v1/privacy/runs", asked).await;
            assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
            for _ in 0..20 {
                let seen = leases(&admin).await;
                if seen != json!([]) {
                    return seen;
                }
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    let lease = &seen[0];
    assert_eq!(lease["name"], "privacy/cleanup");
    let owner = lease["owner"].as_str().unwrap();
    assert!(owner.contains(&server.pid().to_string()), "{owner}");
    assert!(lease["fence"].as_u64().unwrap() > 0, "{lease}");
    let seconds = |field: &str| lease[field].as_f64().unwrap();
    assert!(seconds("age_seconds") < PATIENCE.as_secs_f64(), "{lease}");
    let remaining = seconds("remaining_seconds");
    assert!(remaining > 0.0 && remaining <= 30.0, "{lease}");

    let over = async { while leases(&admin).await != json!([]) {} };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
    server.stop().await;
}

/// The leases that the server says it holds; asked not more often than a client may.
async fn leases(admin: &Client) -> Value {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let health = admin.get("/api/v1/admin/health").await.expect(200);
    health["leases"].clone()
}

/// Waits until there is a run and the latest one's status is such; returns that.
async fn until_last_is(admin: &Client, wanted: impl Fn(&str) -> bool + Send + Sync) -> String {
    let polled = async {
        loop {
            let answer = admin.get("/api/v1/privacy/runs?limit=1").await;
            if let Some(status) = answer.body["items"][0]["status"]
                .as_str()
                .filter(|it| wanted(it))
            {
                return status.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap()
}
