//! Story 8: the process is killed in the middle of a batch of fires.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

use crate::{
    audience::{Audience, each_heard_one, wait_until},
    crowd::{Crowd, Place},
    minute::second_from,
};

const USERS: usize = 2_000;
const CONNECTED: usize = 100;

/// How many notifications are stored at least when the process is killed, a round each.
const KILLED_AT: [usize; 3] = [1, 700, 1_400];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_batch_on_sqlite_each_is_stored_once_and_arrives() {
    kills(Place::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_batch_on_postgres_each_is_stored_once_and_arrives() {
    if let Some(postgres) = server_or_skip(PrivatePostgres::start().await) {
        kills(Place::Postgres(&postgres)).await;
    }
}

async fn kills(place: Place<'_>) {
    let (crowd, data) = Crowd::gather(place, USERS, CONNECTED).await;
    let mut server = place.serve(data).await;
    let mut cut_off = 0;
    for (round, killed_at) in (1..).zip(KILLED_AT) {
        let audience = Audience::connect(&server, CONNECTED, None).await;
        let due = second_from(Timestamp::now() + SignedDuration::from_secs(1));
        crowd.all_due(due, &server).await;
        // As often as possible: the batch must not be over when it is seen to have begun.
        let mut stored = 0;
        while stored < killed_at {
            stored = crowd.count(due).await;
        }
        let data = server.kill().await;
        let stored = crowd.count(due).await;
        println!("round {round}: killed with {stored} of {USERS} stored");
        cut_off += usize::from(stored < USERS);

        server = place.serve(data).await;
        let since = Some((round - 1, &*audience.epoch));
        let mut audience = Audience::connect(&server, CONNECTED, since).await;
        let heard = audience.hear(CONNECTED, due).await;
        let everybody = "everybody's notification";
        wait_until(everybody, async || crowd.count(due).await >= USERS).await;
        let stored = crowd.stored(due).await;
        let schedules: BTreeSet<_> = stored.iter().map(|stored| stored.schedule_id).collect();
        assert_eq!((stored.len(), schedules.len()), (USERS, USERS), "each once");
        assert!(stored.iter().all(|it| it.seq.cast_unsigned() == round));
        for (user, id) in each_heard_one(&heard, round) {
            assert!(stored.iter().any(|it| (it.user_id, it.id) == (user, id)));
        }
    }
    assert!(cut_off > 0, "no kill came in the middle");
    server.stop().await;
}
