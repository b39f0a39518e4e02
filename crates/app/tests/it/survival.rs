use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    client::Client,
    process::{PATIENCE, Server},
};

/// Every second for which the schedule has a stored notification, each seen once.
pub(crate) async fn occurrences(client: &Client) -> BTreeSet<Timestamp> {
    let notifications = client.notifications().await;
    let times: Vec<Timestamp> = notifications
        .iter()
        .map(|stored| stored["scheduled_for"].as_str().unwrap().parse().unwrap())
        .collect();
    let seqs: Vec<_> = notifications
        .iter()
        .map(|n| n["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (1..=notifications.len() as u64).collect();
    assert_eq!(seqs, expected, "sequence numbers have no gap");
    let distinct: BTreeSet<_> = times.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        times.len(),
        "an occurrence was stored twice: {times:?}"
    );
    distinct
}

/// Whether there is each second from the first one until one later than `then`.
pub(crate) fn has_no_gap_until_after(then: Timestamp, seen: &BTreeSet<Timestamp>) -> bool {
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
        return false;
    };
    let span = last.duration_since(*first) + SignedDuration::from_secs(1);
    *last > then && span == SignedDuration::from_secs(seen.len() as i64)
}

pub(crate) async fn wait_until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, polled).await.is_ok(),
        "never: {what}"
    );
}

#[tokio::test]
async fn every_occurrence_is_stored_once_over_kills_between_two_fires() {
    kills_lose_no_occurrence(Server::start_in).await;
}

pub(crate) async fn kills_lose_no_occurrence<F>(start: impl Fn(TempDir) -> F + Send + Sync)
where
    F: Future<Output = Server> + Send,
{
    let mut server = start(tempfile::tempdir().unwrap()).await;
    Client::admin(&server).await;
    let ann = Client::log_in(&server, "root").await;
    let schedule = json!({"cron": "@every 1s", "tz": "UTC", "title": "tick", "misfire": "all"});
    ann.post("/api/v1/schedules", schedule).await.expect(201);

    for round in 1..=3 {
        let ann = Client::log_in(&server, "root").await;
        let before = occurrences(&ann).await.len();
        wait_until("two fires", async || {
            occurrences(&ann).await.len() >= before + 2
        })
        .await;
        let data = server.kill().await;
        let back = Timestamp::now() + SignedDuration::from_millis(700 * round);
        wait_until("the process was dead across some fires", async || {
            Timestamp::now() >= back
        })
        .await;
        server = start(data).await;
    }

    let ann = Client::log_in(&server, "root").await;
    let restarted = Timestamp::now();
    wait_until(
        "a fire after the last restart and none missing before it",
        async || has_no_gap_until_after(restarted, &occurrences(&ann).await),
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn restart_keeps_accounts_schedules_tokens_and_notifications() {
    restart_keeps_everything(Server::start_in).await;
}

pub(crate) async fn restart_keeps_everything<F>(start: impl Fn(TempDir) -> F + Send + Sync)
where
    F: Future<Output = Server> + Send,
{
    let server = start(tempfile::tempdir().unwrap()).await;
    let admin = Client::admin(&server).await;
    let ann = admin.new_user(&server, "ann").await;
    let schedule = json!({"cron": "0 9 * * 1-5", "tz": "Europe/Berlin", "title": "Stand-up"});
    let schedule = ann.post("/api/v1/schedules", schedule).await.expect(201);
    let new = json!({"user_id": ann.id().await, "title": "kept", "body": ""});
    let notification = ann.post("/api/v1/notifications", new).await.expect(201);

    let server = start(server.stop().await).await;
    assert!(!server.setup_token_file().exists());
    let ann = Client::log_in(&server, "ann").await;
    let path = format!("/api/v1/schedules/{}", schedule["id"].as_str().unwrap());
    let after = ann.get(&path).await.expect(200);
    assert_eq!(
        (&after["version"], &after["cron"]),
        (&schedule["version"], &schedule["cron"])
    );
    assert_eq!(ann.notifications().await, [notification]);
}
