//! What every [`JobStore`] must do, to be called from the tests of an implementation.
//!
//! Each check works in a namespace of its own, in a store that may hold anything else; it panics
//! where the store does not conform.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    Cause, ClaimRequest, Claimed, Dialect, Ending, Execution, FinishedRun, Job, JobKey, JobStatus,
    JobStore, Misfire, Outcome, Overlap, Run, RunId, RunNow, Spec, StoreError, Upserted,
};

const LEASE: SignedDuration = SignedDuration::from_secs(10);

/// Runs every check.
///
/// # Panics
///
/// If the store does not conform.
pub async fn check_all(store: Arc<dyn JobStore>) {
    upserts(&store).await;
    changed_spec_fires_after_now_and_last(&store).await;
    row_13_concurrent_upserts_are_all_applied(&store).await;
    claims(&store).await;
    limits(&store).await;
    fences(&store).await;
    leases(&store).await;
    attempts(&store).await;
    releases(&store).await;
    removals(&store).await;
    pauses(&store).await;
    overlaps(&store).await;
    replacements(&store).await;
    misfires(&store).await;
    catching_up(&store).await;
    requests(&store).await;
    purges(&store).await;
}

/// A namespace of a store, with shorthand for its operations.
struct Room {
    store: Arc<dyn JobStore>,
    namespace: &'static str,
}

impl Room {
    fn new(store: &Arc<dyn JobStore>, namespace: &'static str) -> Self {
        Self {
            store: store.clone(),
            namespace,
        }
    }

    async fn upsert(&self, job: &Job, now: Timestamp) -> Upserted {
        done(self.store.upsert(self.namespace, job, now).await)
    }

    async fn claim_as(&self, owner: &str, now: Timestamp, limit: usize) -> Claimed {
        let request = ClaimRequest {
            namespace: self.namespace.into(),
            owner: owner.into(),
            now,
            lease_until: now + LEASE,
            grace: Duration::from_secs(60),
            limit,
        };
        done(self.store.claim_due(&request).await)
    }

    async fn claim(&self, now: Timestamp) -> Vec<Run> {
        self.claim_as("a", now, 100).await.runs
    }

    async fn end(&self, owner: &str, id: &RunId, ending: Ending, now: Timestamp) {
        let run = FinishedRun {
            id: id.clone(),
            ending,
        };
        done(self.store.finish(self.namespace, owner, &[run], now).await);
    }

    async fn succeed(&self, run: &Run, now: Timestamp) {
        let ending = Ending::Done(Outcome::Succeeded);
        self.end("a", &run.id, ending, now).await;
    }

    async fn renew(&self, owner: &str, id: &RunId, until: Timestamp) -> Vec<RunId> {
        let runs = std::slice::from_ref(id);
        done(self.store.renew(self.namespace, owner, runs, until).await)
    }

    async fn status(&self, key: &str, now: Timestamp) -> Option<JobStatus> {
        done(self.store.status(self.namespace, &key.into(), now).await)
    }

    async fn skipped(&self, key: &str) -> u64 {
        let status = self.status(key, at("00:00:00")).await;
        status.map_or(0, |status| status.skipped)
    }

    async fn request_run(&self, key: &str, now: Timestamp) -> RunNow {
        done(
            self.store
                .request_run(self.namespace, &key.into(), now)
                .await,
        )
    }

    async fn set_paused(&self, key: &str, paused: bool, now: Timestamp) -> Option<Upserted> {
        let key = JobKey::from(key);
        done(
            self.store
                .set_paused(self.namespace, &key, paused, now)
                .await,
        )
    }

    async fn remove(&self, key: &str) -> Option<u64> {
        done(self.store.remove(self.namespace, &key.into()).await)
    }
}

fn done<T>(result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// A time of 1 January 2030.
fn at(time: &str) -> Timestamp {
    match format!("2030-01-01T{time}Z").parse() {
        Ok(instant) => instant,
        Err(error) => panic!("{time}: {error}"),
    }
}

fn job(key: &str, spec: &str) -> Job {
    match Spec::parse(spec, Dialect::Posix5) {
        Ok(spec) => Job::new(key, spec, TimeZone::UTC),
        Err(error) => panic!("{error}"),
    }
}

fn times(runs: &[Run]) -> Vec<Timestamp> {
    runs.iter().map(|run| run.id.scheduled_for).collect()
}

async fn upserts(store: &Arc<dyn JobStore>) {
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

async fn changed_spec_fires_after_now_and_last(store: &Arc<dyn JobStore>) {
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

async fn row_13_concurrent_upserts_are_all_applied(store: &Arc<dyn JobStore>) {
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

async fn claims(store: &Arc<dyn JobStore>) {
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

async fn limits(store: &Arc<dyn JobStore>) {
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

async fn fences(store: &Arc<dyn JobStore>) {
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

async fn leases(store: &Arc<dyn JobStore>) {
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

async fn attempts(store: &Arc<dyn JobStore>) {
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

async fn releases(store: &Arc<dyn JobStore>) {
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

async fn removals(store: &Arc<dyn JobStore>) {
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

async fn pauses(store: &Arc<dyn JobStore>) {
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

async fn overlaps(store: &Arc<dyn JobStore>) {
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

async fn replacements(store: &Arc<dyn JobStore>) {
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

async fn misfires(store: &Arc<dyn JobStore>) {
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
async fn catching_up(store: &Arc<dyn JobStore>) {
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

async fn requests(store: &Arc<dyn JobStore>) {
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

async fn purges(store: &Arc<dyn JobStore>) {
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
