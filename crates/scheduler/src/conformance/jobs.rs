//! What becomes of jobs as they are put in, changed, paused and removed.

use std::sync::Arc;

use jiff::{SignedDuration, tz::TimeZone};

use crate::{Job, JobStore, Overlap, Upserted};

use super::room::{Room, at, done, job};

pub(super) async fn upserts(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "upserts");
    let hourly = job("job", "0 * * * *");
    let first = room.upsert(&hourly, at("00:30:00")).await;
    assert!(first.changed);
    assert_eq!(first.next_fire, Some(at("01:00:00")));

    let again = room.upsert(&hourly, at("00:40:00")).await;
    let unchanged = Upserted {
        changed: false,
        ..first
    };
    assert_eq!(again, unchanged, "an equal job is a no-op");

    let policy = hourly.clone().overlap(Overlap::QueueOne).lock("some lock");
    let second = room.upsert(&policy, at("01:30:00")).await;
    assert!(second.changed && second.generation > first.generation);
    assert_eq!(
        second.next_fire, first.next_fire,
        "the same instants stay due"
    );

    let other = Room::new(store, "upserts elsewhere");
    assert_eq!(
        other.status("job", at("00:30:00")).await,
        None,
        "namespaces are apart"
    );
    assert_eq!(room.status("other", at("00:30:00")).await, None);
}

pub(super) async fn changed_spec_fires_after_now_and_last(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "I3");
    room.upsert(&job("job", "0 * * * *"), at("00:30:00")).await;
    let runs = room.claim(at("01:00:00")).await;
    room.succeed(&runs[0], at("01:00:01")).await;

    // The clock has gone back: the occurrence of 01:00 must not fire a second time.
    let changed = room
        .upsert(&job("job", "0,30 * * * *"), at("00:10:00"))
        .await;
    assert_eq!(changed.next_fire, Some(at("01:30:00")));
    let changed = room
        .upsert(&job("job", "*/10 * * * *"), at("01:45:00"))
        .await;
    assert_eq!(changed.next_fire, Some(at("01:50:00")));
    let zone = TimeZone::get("Asia/Kathmandu").unwrap_or(TimeZone::UTC);
    let moved = Job::new("job", job("job", "0 * * * *").spec, zone);
    let changed = room.upsert(&moved, at("01:45:00")).await;
    assert_eq!(changed.next_fire, Some(at("02:15:00")));
}

pub(super) async fn row_13_concurrent_upserts_are_all_applied(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "row 13");
    let upserts = (0..20).map(|minute| {
        let store = store.clone();
        async move {
            let job = job("job", &format!("{minute} * * * *"));
            (
                minute,
                done(store.upsert("row 13", &job, at("00:59:30")).await),
            )
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    upserts.for_each(|upsert| {
        tasks.spawn(upsert);
    });
    let mut upserted = tasks.join_all().await;
    upserted.sort_by_key(|(_, upserted)| upserted.generation);
    assert!(
        upserted
            .windows(2)
            .all(|pair| pair[0].1.generation < pair[1].1.generation)
    );
    assert!(upserted.iter().all(|(_, upserted)| upserted.changed));
    let (last_minute, last) = upserted[upserted.len() - 1];
    let expected = at("01:00:00") + SignedDuration::from_mins(last_minute);
    let status = room.status("job", at("00:59:30")).await;
    let status = status.map(|status| (status.generation, status.next_fire));
    assert_eq!(
        status,
        Some((last.generation, Some(expected))),
        "the last one wins"
    );
}

pub(super) async fn removals(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "removals");
    let hourly = job("job", "0 * * * *");
    let first = room.upsert(&hourly, at("00:30:00")).await;
    let run = room.claim(at("01:00:00")).await.remove(0);
    assert_eq!(room.remove("job").await, Some(first.generation));
    assert_eq!(room.remove("job").await, None);
    assert_eq!(room.status("job", at("01:00:00")).await, None);

    let second = room.upsert(&hourly, at("01:30:00")).await;
    assert!(second.generation > first.generation);
    let running = room.status("job", at("01:30:00")).await;
    assert_eq!(
        running.map(|status| status.running),
        Some(1),
        "the old run is still at work"
    );
    assert!(
        room.claim(at("01:30:00")).await.is_empty(),
        "the old run is not run again"
    );
    assert!(room.claim(at("02:00:00")).await.len() == 1);
    room.succeed(&run, at("02:00:01")).await;

    room.remove("job").await;
    assert!(room.claim(at("03:00:00")).await.is_empty());
    assert_eq!(done(store.next_due("removals").await), None);
}

pub(super) async fn pauses(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "pauses");
    let hourly = job("job", "0 * * * *");
    let first = room.upsert(&hourly, at("00:30:00")).await;
    let paused = room.set_paused("job", true, at("00:40:00")).await;
    assert!(paused.is_some_and(|paused| paused.generation > first.generation));
    assert!(room.claim(at("05:00:00")).await.is_empty());
    let status = room.status("job", at("05:00:00")).await;
    assert_eq!(
        status.map(|status| (status.paused, status.next_fire)),
        Some((true, None))
    );
    let changed = room.upsert(&job("job", "30 * * * *"), at("05:00:00")).await;
    assert_eq!(changed.next_fire, None, "a change does not resume");

    let resumed = room.set_paused("job", false, at("05:45:00")).await;
    assert_eq!(
        resumed.and_then(|resumed| resumed.next_fire),
        Some(at("06:30:00"))
    );
    let again = room.set_paused("job", false, at("05:50:00")).await;
    assert_eq!(again.map(|again| again.changed), Some(false));
    assert_eq!(room.skipped("job").await, 0, "what it missed stays missed");
    assert_eq!(room.set_paused("other", true, at("05:50:00")).await, None);
}
