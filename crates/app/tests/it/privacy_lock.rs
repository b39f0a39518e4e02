//! The lock of the privacy operations is in the database: it holds between processes.

use std::time::Duration;

use serde_json::json;
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
    let lock = lock.build().unwrap();

    let asked = json!({"operation": "cleanup"});
    let other = lock.run(async |_| {
        let answer = admin.post("/api/v1/privacy/runs", asked.clone()).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
        let ended = until_last_is(&admin, |status| status != "running").await;
        assert_eq!(ended, "skipped");
    });
    other.await.unwrap();

    let answer = admin.post("/api/v1/privacy/runs", asked).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    until_last_is(&admin, |status| status == "succeeded").await;
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
