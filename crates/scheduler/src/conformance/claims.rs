//! Who may run an occurrence, and for how long.

use std::sync::Arc;

use crate::{Cause, Claimed, Ending, Execution, Job, JobStore, Outcome, Overlap, RunNow};

use super::room::{LEASE, Room, at, done, job, times};

pub(super) async fn claims(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "claims");
    let upserted = room.upsert(&job("job", "0 * * * *"), at("00:30:00")).await;
    let early = room.claim_as("a", at("00:59:59"), 100).await;
    assert_eq!(
        early,
        Claimed {
            runs: Vec::new(),
            next_due: Some(at("01:00:00"))
        }
    );

    let runs = room.claim(at("01:00:00.25")).await;
    assert_eq!(times(&runs), [at("01:00:00")]);
    assert_eq!(runs[0].generation, upserted.generation);
    assert_eq!(runs[0].cause, Cause::Scheduled);
    let others = room.claim_as("b", at("01:00:00.25"), 100).await;
    assert!(others.runs.is_empty(), "claimed twice");
    let running = room.status("job", at("01:00:01")).await;
    assert_eq!(running.map(|status| status.running), Some(1));

    room.succeed(&runs[0], at("01:00:02")).await;
    let status = room.status("job", at("01:00:03")).await;
    let last = status.as_ref().and_then(|status| status.last.clone());
    assert_eq!(
        status.map(|s| (s.running, s.next_fire)),
        Some((0, Some(at("02:00:00"))))
    );
    assert_eq!(
        last.as_ref().map(|last| &last.outcome),
        Some(&Outcome::Succeeded)
    );
    assert_eq!(
        last.map(|last| (last.scheduled_for, last.finished_at)),
        Some((at("01:00:00"), at("01:00:02")))
    );
    let next = done(store.next_due("claims").await);
    assert_eq!(next, Some(at("02:00:00")));
}

pub(super) async fn limits(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "limits");
    for number in 0..5 {
        room.upsert(&job(&format!("job {number}"), "0 * * * *"), at("00:30:00"))
            .await;
    }
    let first = room.claim_as("a", at("01:00:00"), 3).await;
    assert_eq!(first.runs.len(), 3);
    assert!(
        first.next_due.is_some_and(|due| due <= at("01:00:00")),
        "there is more"
    );
    let second = room.claim_as("b", at("01:00:00"), 3).await;
    let mut keys: Vec<_> = [first.runs, second.runs].concat();
    keys.sort_by(|a, b| a.id.key.cmp(&b.id.key));
    keys.dedup_by(|a, b| a.id.key == b.id.key);
    assert_eq!(keys.len(), 5, "each once, none lost");
}

pub(super) async fn fences(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "fences");
    room.upsert(&job("job", "0 * * * *"), at("00:30:00")).await;
    let first = room.claim(at("01:00:00")).await.remove(0);
    let second = room.claim_as("b", at("01:00:11"), 100).await.runs.remove(0);
    assert!(second.id.fence > first.id.fence);

    let late = Ending::Done(Outcome::TimedOut);
    room.end("a", &first.id, late.clone(), at("01:00:12")).await;
    room.end("b", &first.id, late.clone(), at("01:00:12")).await;
    room.end("a", &second.id, late, at("01:00:12")).await;
    let status = room.status("job", at("01:00:12")).await;
    assert_eq!(
        status.map(|s| (s.running, s.last)),
        Some((1, None)),
        "fenced off"
    );
    assert_eq!(room.renew("a", &first.id, at("01:05:00")).await, [first.id]);

    room.end(
        "b",
        &second.id,
        Ending::Done(Outcome::Succeeded),
        at("01:00:13"),
    )
    .await;
    let last = room
        .status("job", at("01:00:13"))
        .await
        .and_then(|status| status.last);
    assert_eq!(last.map(|last| last.outcome), Some(Outcome::Succeeded));
}

pub(super) async fn leases(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "leases");
    let once = job("once", "0 1 * * *").execution(Execution::AtMostOnce);
    room.upsert(&once, at("00:30:00")).await;
    room.upsert(&job("again", "0 1 * * *"), at("00:30:00"))
        .await;
    let runs = room.claim(at("01:00:00")).await;
    assert_eq!(runs.len(), 2);

    for run in &runs {
        assert!(room.renew("a", &run.id, at("01:00:20")).await.is_empty());
    }
    let claimed = room.claim_as("b", at("01:00:19"), 100).await;
    assert!(claimed.runs.is_empty(), "the leases were renewed");
    assert!(
        claimed.next_due.is_some_and(|due| due <= at("01:00:20")),
        "leases are waited for"
    );

    let claimed = room.claim_as("b", at("01:00:20"), 100).await.runs;
    let keys: Vec<&str> = claimed.iter().map(|run| run.id.key.as_str()).collect();
    assert_eq!(keys, ["again"]);
    assert_eq!(times(&claimed), [at("01:00:00")]);
    let status = room.status("once", at("01:00:20")).await;
    let last = status.as_ref().and_then(|status| status.last.as_ref());
    assert_eq!(last.map(|last| &last.outcome), Some(&Outcome::Abandoned));
    assert_eq!(status.map(|status| status.running), Some(0));
}

pub(super) async fn attempts(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "attempts");
    room.upsert(&job("job", "0 1 * * *"), at("00:30:00")).await;
    let mut now = at("01:00:00");
    for _ in 0..Job::MAX_ATTEMPTS {
        assert_eq!(room.claim(now).await.len(), 1);
        now += LEASE;
    }
    assert!(room.claim(now).await.is_empty(), "claimed for ever");
    let last = room.status("job", now).await.and_then(|status| status.last);
    assert_eq!(last.map(|last| last.outcome), Some(Outcome::Abandoned));
}

pub(super) async fn releases(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "releases");
    let once = job("job", "0 1 * * *").execution(Execution::AtMostOnce);
    room.upsert(&once, at("00:30:00")).await;
    let run = room.claim(at("01:00:00")).await.remove(0);
    room.end("a", &run.id, Ending::Released, at("01:00:01"))
        .await;
    let again = room.claim_as("b", at("01:00:01"), 100).await.runs;
    assert_eq!(times(&again), [at("01:00:00")]);
    assert!(again[0].id.fence > run.id.fence);

    room.end("b", &again[0].id, Ending::Released, at("01:00:02"))
        .await;
    room.upsert(&job("job", "0 2 * * *"), at("01:00:03")).await;
    assert!(
        room.claim(at("01:00:03")).await.is_empty(),
        "of an older generation"
    );
    assert_eq!(room.claim(at("02:00:00")).await.len(), 1);
}

pub(super) async fn requests(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "requests");
    assert_eq!(
        room.request_run("job", at("00:30:00")).await,
        RunNow::Unknown
    );
    let hourly = job("job", "0 * * * *");
    room.upsert(&hourly, at("00:30:00")).await;
    room.set_paused("job", true, at("00:30:00")).await;
    let first = room.request_run("job", at("00:40:00")).await;
    let runs = room.claim(at("00:40:00.5")).await;
    assert_eq!(runs[0].cause, Cause::Manual);
    let scheduled_for = runs[0].id.scheduled_for;
    assert_eq!(first, RunNow::Accepted { scheduled_for });
    assert_eq!(
        room.request_run("job", at("00:40:01")).await,
        RunNow::Skipped
    );
    room.succeed(&runs[0], at("00:40:02")).await;
    room.set_paused("job", false, at("00:40:03")).await;

    room.upsert(&hourly.overlap(Overlap::QueueOne), at("00:41:00"))
        .await;
    room.request_run("job", at("00:40:00")).await;
    let run = room.claim(at("00:42:00")).await.remove(0);
    assert_ne!(
        run.id.scheduled_for, scheduled_for,
        "the same instant is another run"
    );
    let queued = room.request_run("job", at("00:43:00")).await;
    assert!(room.claim(at("00:42:00")).await.is_empty());
    room.succeed(&run, at("00:44:00")).await;
    let run = room.claim(at("00:44:00")).await.remove(0);
    let scheduled_for = run.id.scheduled_for;
    assert_eq!(queued, RunNow::Accepted { scheduled_for });
    room.succeed(&run, at("00:45:00")).await;
    assert_eq!(
        times(&room.claim(at("01:00:00")).await),
        [at("01:00:00")],
        "undisturbed"
    );
}

pub(super) async fn purges(store: &Arc<dyn JobStore>) {
    let room = Room::new(store, "purges");
    for number in 0..5 {
        room.upsert(&job(&format!("job {number}"), "0 * * * *"), at("00:30:00"))
            .await;
    }
    let runs = room.claim(at("01:00:00")).await;
    for run in &runs[..4] {
        room.succeed(run, at("01:00:01")).await;
    }
    assert_eq!(
        done(store.purge_runs("purges", at("01:00:01"), 100).await),
        0
    );
    let first = done(store.purge_runs("purges", at("02:00:00"), 3).await);
    let second = done(store.purge_runs("purges", at("02:00:00"), 3).await);
    assert!(
        (first, second) == (3, 1) || (first, second) == (0, 0),
        "kept, or purged in batches"
    );
    let last = room.status(runs[0].id.key.as_str(), at("01:00:01")).await;
    assert!(
        last.is_some_and(|status| status.last.is_some()),
        "the outcome stays with the job"
    );
    let running = room.status(runs[4].id.key.as_str(), at("01:00:01")).await;
    assert_eq!(running.map(|status| status.running), Some(1));
}
