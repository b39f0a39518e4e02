//! Each alert of the binary, raised and over, and the rules and panels that are made of its metrics.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    client::Client,
    process::{Server, Starting, metrics},
    survival::wait_until,
    trouble::intruder,
};

/// Whether the gauge of an alert says so.
async fn is(admin_url: &str, alert: &str, subject: &str, active: u8) -> bool {
    let gauge =
        format!("steadfast_alert_active{{alert=\"{alert}\",subject=\"{subject}\"}} {active}");
    metrics(admin_url).await.contains(&gauge)
}

#[tokio::test]
async fn database_that_cannot_be_initialised_is_told_while_the_service_starts() {
    let data = tempfile::tempdir().unwrap();
    let mut intruder = intruder(data.path()).await;
    let lock = sqlx::raw_sql("BEGIN EXCLUSIVE");
    lock.execute(&mut intruder).await.unwrap();
    let variables = [
        ("STEADFAST_DATABASE_BUSY_TIMEOUT", "10ms"),
        ("STEADFAST_START_TIMEOUT", "10m"),
    ];
    let server = Starting::begin(data, &variables).await;
    let url = server.admin_url.clone();
    let told = async |active| is(&url, "initialisation_fails", "database", active).await;
    wait_until("the alert", async || told(1).await).await;

    let unlock = sqlx::raw_sql("ROLLBACK");
    unlock.execute(&mut intruder).await.unwrap();
    let server = server.up().await;
    wait_until("the end of the alert", async || told(0).await).await;
    server.stop().await;
}

#[tokio::test]
async fn lock_that_is_held_and_waited_for_for_long_is_told() {
    const LOCK: &str = "schedules of a user";
    let data = tempfile::tempdir().unwrap();
    let variables = [("STEADFAST_DATABASE_BUSY_TIMEOUT", "10m")];
    let server = Server::start_with(data, &variables).await;
    let ann = Client::admin(&server).await;
    let mut intruder = intruder(server.data()).await;
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
    lock.execute(&mut intruder).await.unwrap();

    // The first one holds its user's lock while it waits for the database, the next one waits.
    let schedule = json!({"cron": "@daily", "tz": "UTC", "title": "x"});
    let url = &server.admin_url;
    let create = || ann.post("/api/v1/schedules", schedule.clone());
    let observed = async {
        wait_until("long_hold", async || is(url, "long_hold", LOCK, 1).await).await;
        let waited = async {
            wait_until("long_wait", async || is(url, "long_wait", LOCK, 1).await).await;
            let unlock = sqlx::raw_sql("ROLLBACK");
            unlock.execute(&mut intruder).await.unwrap();
        };
        tokio::join!(create(), waited);
    };
    tokio::join!(create(), observed);
    for alert in ["long_hold", "long_wait"] {
        wait_until("the end", async || is(url, alert, LOCK, 0).await).await;
    }
    server.stop().await;
}

/// The names in a text that begin so.
fn names<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let starts = text.match_indices(prefix).map(|(start, _)| &text[start..]);
    starts
        .map(|rest| {
            let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

#[tokio::test]
async fn rules_and_panels_name_only_what_is_measured() {
    let rules = include_str!("../../../../docs/alerts.yml");
    let panels = include_str!("../../../../docs/grafana.json");
    serde_json::from_str::<serde_json::Value>(panels).unwrap();
    let raised = BTreeSet::from([
        "breaker_open",
        "initialisation_fails",
        "long_hold",
        "long_wait",
        "service_down",
    ]);
    let in_rules = rules.split(['"', '|']).filter(|word| raised.contains(word));
    assert_eq!(in_rules.collect::<BTreeSet<_>>(), raised);

    // Each metric appears when there is something to measure for the first time: fires, then
    // failures of the database, alerts of them, and waits for a lock that is held meanwhile.
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data, &[("STEADFAST_DATABASE_BUSY_TIMEOUT", "1s")]).await;
    let ann = Client::admin(&server).await;
    let schedule = json!({"cron": "@every 1s", "tz": "UTC", "title": "x"});
    let create = || ann.post("/api/v1/schedules", schedule.clone());
    create().await.expect(201);
    wait_until("a fire", async || !ann.notifications().await.is_empty()).await;
    let mut intruder = intruder(server.data()).await;
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
    lock.execute(&mut intruder).await.unwrap();
    let named = [rules, panels].map(|text| names(text, "steadfast_"));
    assert!(named.iter().all(|named| !named.is_empty()));
    wait_until("all of them are measured", async || {
        tokio::join!(create(), create());
        let metrics = server.metrics().await;
        let measured = names(&metrics, "steadfast_");
        let missing = named.iter().flatten().filter(|it| !measured.contains(*it));
        let missing: Vec<_> = missing.collect();
        println!("not measured yet: {missing:?}");
        missing.is_empty()
    })
    .await;
}
