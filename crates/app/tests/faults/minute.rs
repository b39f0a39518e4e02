//! Everybody's schedule falls due in the same second.

use std::{collections::BTreeSet, time::Instant};

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

use crate::{
    audience::{Audience, each_heard_one, wait_until},
    crowd::{Crowd, EVERY, Place},
    lateness::Lateness,
};

/// How many users there are, where the variable says nothing: as many as an unoptimised build
/// gets done with in half a minute.
const USERS: usize = 4_000;
const VARIABLE: &str = "STEADFAST_MINUTE_USERS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_in_the_same_second_on_sqlite_each_is_stored_once_and_arrives() {
    all_at_once(Place::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_in_the_same_second_on_postgres_each_is_stored_once_and_arrives() {
    // As a server is that does not lose what it has committed.
    let postgres = PrivatePostgres::builder()
        .setting("fsync", "on")
        .setting("full_page_writes", "on");
    if let Some(postgres) = server_or_skip(postgres.start().await) {
        all_at_once(Place::Postgres(&postgres)).await;
    }
}

async fn all_at_once(place: Place<'_>) {
    let users = std::env::var(VARIABLE).map_or(USERS, |users| users.parse().unwrap());
    let connected = users / EVERY;
    let begun = Instant::now();
    let (crowd, data) = Crowd::gather(place, users, connected).await;
    let gathered = begun.elapsed();
    let server = place.serve(data).await;
    let mut audience = Audience::connect(&server, connected, None).await;
    println!(
        "{users} users, {connected} of them connected: made in {gathered:.1?}, connected in {:.1?}",
        begun.elapsed() - gathered
    );

    let due = second_from(Timestamp::now() + SignedDuration::from_secs(3));
    crowd.all_due(due, &server).await;
    let heard = audience.hear(connected, due).await;
    wait_until("everybody's notification", async || {
        crowd.count(due).await >= users
    })
    .await;
    let took = Timestamp::now().duration_since(due);
    let stored = crowd.stored(due).await;

    let schedules: BTreeSet<_> = stored.iter().map(|stored| stored.schedule_id).collect();
    assert_eq!((stored.len(), schedules.len()), (users, users), "each once");
    assert!(stored.iter().all(|stored| stored.seq == 1));
    for (user, id) in each_heard_one(&heard, 1) {
        assert!(stored.iter().any(|it| (it.user_id, it.id) == (user, id)));
    }
    let created = stored.iter().map(|stored| stored.created_at);
    let created = Lateness::new("scheduled_for to created_at", due, created);
    let arrived = heard.values().map(|arrivals| arrivals[0].at);
    let arrived = Lateness::new("scheduled_for to the client", due, arrived);
    let again: usize = heard.values().map(|arrivals| arrivals.len() - 1).sum();
    println!("{created}{arrived}all stored after {took:#}; {again} arrivals were repetitions");
    assert!(created.nothing_was_early() && arrived.nothing_was_early());
    server.stop().await;
}

/// The first whole second at or after an instant.
pub(crate) fn second_from(instant: Timestamp) -> Timestamp {
    let up = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Ceil);
    instant.round(up).unwrap()
}
