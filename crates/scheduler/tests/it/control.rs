//! What the owner of a scheduler can tell it.

use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_scheduler::{
    Behaviour, Cause, Execution, Job, JobKey, MemoryJobStore, Misfire, MockJobHandler, Outcome,
    Overlap, RunNow, Scheduler, SchedulerError, ShutdownReport,
};
use tokio::time::sleep;

use crate::fixture::{Fixture, at, job, last_outcome, minutes, wall};

#[tokio::test(start_paused = true)]
async fn run_now_goes_through_the_same_gate() {
    let fixture = Fixture::started(Behaviour::Take(minutes(5))).await;
    let key = JobKey::from("job");
    assert_eq!(
        fixture.scheduler.run_now(&key).await.unwrap(),
        RunNow::Unknown
    );
    fixture.upsert(job("job", "0 * * * *")).await;
    let accepted = fixture.scheduler.run_now(&key).await.unwrap();
    let fires = fixture.handler.wait_for_fires(1).await;
    assert_eq!(fires[0].cause, Cause::Manual);
    let scheduled_for = fires[0].scheduled_for;
    assert_eq!(accepted, RunNow::Accepted { scheduled_for });
    assert_eq!(
        fixture.scheduler.run_now(&key).await.unwrap(),
        RunNow::Skipped
    );
    let status = fixture.status("job").await;
    assert_eq!((status.running, status.skipped), (1, 1));
    assert_eq!(
        status.next_fire,
        Some(at("01:00:00")),
        "the schedule does not change"
    );

    // A run of the schedule keeps a manual one out as well.
    fixture.handler.wait_for_fires(2).await;
    assert_eq!(
        fixture.scheduler.run_now(&key).await.unwrap(),
        RunNow::Skipped
    );
}

#[tokio::test(start_paused = true)]
async fn pause_stops_fires_and_resume_goes_on_from_now() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    let key = JobKey::from("job");
    assert!(!fixture.scheduler.pause(&key).await.unwrap());
    fixture.upsert(job("job", "0 * * * *")).await;
    assert!(fixture.scheduler.pause(&key).await.unwrap());
    sleep(minutes(195)).await;
    assert!(fixture.handler.fires().is_empty());
    let status = fixture.status("job").await;
    assert!(status.paused && status.next_fire.is_none());

    assert!(fixture.scheduler.resume(&key).await.unwrap());
    fixture.handler.wait_for_fires(1).await;
    assert_eq!(fixture.fired(), [at("04:00:00")]);
}

#[tokio::test(start_paused = true)]
async fn remove_and_wait_returns_when_nothing_is_at_work() {
    let fixture = Fixture::started(Behaviour::Take(minutes(10))).await;
    let key = JobKey::from("job");
    fixture.upsert(job("job", "0 * * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    let error = fixture
        .scheduler
        .remove_and_wait(&key, minutes(1))
        .await
        .unwrap_err();
    assert!(matches!(error, SchedulerError::StillRunning { .. }));
    assert!(
        !fixture
            .scheduler
            .remove_and_wait(&key, minutes(60))
            .await
            .unwrap()
    );
    assert_eq!(fixture.clock.wall(), wall(at("01:10:00")));
    assert_eq!(fixture.scheduler.status(&key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_then_aborts_and_what_was_cut_short_runs_again() {
    let store = Arc::new(MemoryJobStore::new());
    let fixture = Fixture::with(store, Behaviour::UntilCancelled, |builder| builder);
    fixture.scheduler.start().await;
    fixture.upsert(job("polite", "0 1 * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    fixture.handler.behave(Behaviour::Take(minutes(600)));
    fixture.upsert(job("again", "1 1 * * *")).await;
    fixture
        .upsert(job("once", "1 1 * * *").execution(Execution::AtMostOnce))
        .await;
    fixture.handler.wait_for_fires(3).await;

    let report = fixture.scheduler.shutdown(Duration::from_secs(30)).await;
    assert_eq!(
        report,
        ShutdownReport {
            finished: 1,
            aborted: 2,
            abandoned: 0
        }
    );
    assert_eq!(
        last_outcome(fixture.status("polite").await),
        Outcome::Succeeded
    );
    assert_eq!(last_outcome(fixture.status("once").await), Outcome::Aborted);

    fixture.handler.behave(Behaviour::Succeed);
    fixture.scheduler.start().await;
    let fires = fixture.handler.wait_for_fires(4).await;
    assert_eq!(
        (fires[3].key.as_str(), fires[3].scheduled_for),
        ("again", at("01:01:00"))
    );
    assert!(fires[3].fence > fires[1].fence.min(fires[2].fence));
    sleep(minutes(60)).await;
    assert_eq!(fixture.handler.fires().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_everything() {
    let fixture = Fixture::started(Behaviour::Take(minutes(60))).await;
    fixture.upsert(job("job", "0 * * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    let handler = fixture.handler.clone();
    drop(fixture);
    handler.wait_for_ends(1).await;
    sleep(minutes(600)).await;
    assert_eq!(handler.fires().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn invalid_jobs_and_settings_are_refused_by_name() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    let long = "x".repeat(256);
    let fixed = jiff::tz::TimeZone::fixed(jiff::tz::offset(3));
    let all = |max| Misfire::All {
        max,
        window: minutes(1),
    };
    let bad: [(&str, Job); 8] = [
        ("key", job("", "* * * * *")),
        ("key", job(&long, "* * * * *")),
        (
            "tz",
            Job {
                tz: fixed,
                ..job("job", "* * * * *")
            },
        ),
        ("lock", job("job", "* * * * *").lock("")),
        ("misfire", job("job", "* * * * *").misfire(all(0))),
        (
            "overlap",
            job("job", "* * * * *").overlap(Overlap::Allow(0)),
        ),
        ("timeout", job("job", "* * * * *").timeout(Duration::ZERO)),
        (
            "jitter",
            job("job", "* * * * *").jitter(Duration::from_micros(1)),
        ),
    ];
    for (field, job) in bad {
        let error = fixture.scheduler.upsert(job).await.unwrap_err();
        assert!(
            matches!(&error, SchedulerError::Validate { source, .. } if source.field == field),
            "{error:?}"
        );
    }
    let builder = || {
        let store = Arc::new(MemoryJobStore::new());
        Scheduler::builder("ns", store, Arc::new(MockJobHandler::new()))
    };
    let refused =
        |builder: steadfast_scheduler::SchedulerBuilder| builder.build().unwrap_err().field;
    assert_eq!(refused(builder().max_concurrency(0)), "max_concurrency");
    assert_eq!(refused(builder().lease(Duration::ZERO)), "lease");
    assert_eq!(refused(builder().lease(Duration::MAX)), "lease");
    assert_eq!(refused(builder().poll(minutes(1))), "poll");
    assert_eq!(refused(builder().owner("")), "owner");
}
