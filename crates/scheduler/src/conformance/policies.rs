//! What overlaps and misses become.

use std::{sync::Arc, time::Duration};

use crate::{Cause, Ending, JobStore, Misfire, Outcome, Overlap};

use super::room::{Room, at, job, times};

pub(super) async fn overlaps(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "overlaps");
    let minutely = |key| job(key, "* * * * *");
    room.upsert(&minutely("skip"), at("00:00:30")).await;
    room.upsert(
        &minutely("queue").overlap(Overlap::QueueOne),
        at("00:00:30"),
    )
    .await;
    room.upsert(&minutely("two").overlap(Overlap::Allow(2)), at("00:00:30"))
        .await;
    let first = room.claim(at("00:01:00")).await;
    assert_eq!(first.len(), 3);
    for run in &first {
        room.renew("a", &run.id, at("01:00:00")).await;
    }
    let second = room.claim(at("00:02:00")).await;
    let keys: Vec<&str> = second.iter().map(|run| run.id.key.as_str()).collect();
    assert_eq!(keys, ["two"]);
    room.renew("a", &second[0].id, at("01:00:00")).await;
    assert!(room.claim(at("00:05:30")).await.is_empty());

    for run in &first {
        room.succeed(run, at("00:05:30")).await;
    }
    let mut next = room.claim(at("00:05:30")).await;
    assert_eq!(next.len(), 1);
    let queued = next.remove(0);
    assert_eq!(
        (queued.id.key.as_str(), queued.id.scheduled_for),
        ("queue", at("00:05:00"))
    );
    assert_eq!(queued.cause, Cause::Scheduled);
    room.renew("a", &queued.id, at("01:00:00")).await;
    assert_eq!(room.skipped("skip").await, 4);
    assert_eq!(room.skipped("queue").await, 3);
    assert_eq!(room.skipped("two").await, 3);
    let after = room.claim(at("00:06:00")).await;
    let mut keys: Vec<&str> = after.iter().map(|run| run.id.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["skip", "two"]);
}

pub(super) async fn replacements(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "replacements");
    let job = job("job", "* * * * *").overlap(Overlap::Replace);
    room.upsert(&job, at("00:00:30")).await;
    let first = room.claim(at("00:01:00")).await.remove(0);
    room.renew("a", &first.id, at("01:00:00")).await;
    let second = room.claim_as("b", at("00:02:00"), 100).await.runs.remove(0);
    let lost = room.renew("a", &first.id, at("01:00:00")).await;
    assert_eq!(lost, std::slice::from_ref(&first.id));
    room.succeed(&first, at("00:02:01")).await;
    let status = room.status("job", at("00:02:01")).await;
    assert_eq!(status.map(|s| (s.running, s.last)), Some((1, None)));
    room.end(
        "b",
        &second.id,
        Ending::Done(Outcome::Succeeded),
        at("00:02:02"),
    )
    .await;

    let late = room.claim(at("00:05:59")).await;
    assert_eq!(
        times(&late),
        [at("00:05:00")],
        "several at once replace each other"
    );
}

pub(super) async fn misfires(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "misfires");
    let window = Duration::from_secs(4 * 3_600);
    let hourly = |key| job(key, "0 * * * *").overlap(Overlap::Allow(9));
    room.upsert(&hourly("skip").misfire(Misfire::Skip), at("00:30:00"))
        .await;
    room.upsert(&hourly("once"), at("00:30:00")).await;
    let all = |max| Misfire::All { max, window };
    room.upsert(&hourly("three").misfire(all(3)), at("00:30:00"))
        .await;
    room.upsert(&hourly("window").misfire(all(9)), at("00:30:00"))
        .await;
    let none = Misfire::All {
        max: 9,
        window: Duration::from_secs(60),
    };
    room.upsert(&hourly("none").misfire(none), at("00:30:00"))
        .await;

    let runs = room.claim(at("08:30:00")).await;
    let of = |key: &str| {
        let of_key = runs.iter().filter(|run| run.id.key.as_str() == key);
        Vec::from_iter(of_key.map(|run| run.id.scheduled_for))
    };
    assert!(of("skip").is_empty() && of("none").is_empty());
    assert_eq!(of("once"), [at("08:00:00")]);
    assert_eq!(
        of("three"),
        [at("06:00:00"), at("07:00:00"), at("08:00:00")]
    );
    let in_window = [
        at("05:00:00"),
        at("06:00:00"),
        at("07:00:00"),
        at("08:00:00"),
    ];
    assert_eq!(of("window"), in_window);
    assert!(runs.iter().all(|run| run.cause == Cause::Misfire));
    for (key, skipped) in [
        ("skip", 8),
        ("once", 7),
        ("three", 5),
        ("window", 4),
        ("none", 8),
    ] {
        assert_eq!(room.skipped(key).await, skipped, "{key}");
        let status = room.status(key, at("08:30:00")).await;
        assert_eq!(
            status.and_then(|status| status.next_fire),
            Some(at("09:00:00"))
        );
    }
}

/// Within the grace every occurrence fires; under `Overlap::Skip` one after the other.
pub(super) async fn catching_up(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "catching up");
    room.upsert(&job("job", "@every 20s"), at("00:00:00")).await;
    let mut fires = Vec::new();
    while let Some(run) = room.claim(at("00:10:10")).await.pop() {
        room.succeed(&run, at("00:10:10")).await;
        fires.push((run.id.scheduled_for, run.cause));
    }
    let expected = [
        (at("00:09:00"), Cause::Misfire),
        (at("00:09:20"), Cause::Scheduled),
        (at("00:09:40"), Cause::Scheduled),
        (at("00:10:00"), Cause::Scheduled),
    ];
    assert_eq!(fires, expected);
    assert_eq!(room.skipped("job").await, 26);
}
