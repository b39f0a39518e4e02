//! How runs start, end and are reported.

use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_scheduler::{
    Behaviour, Cause, Execution, Job, JobKey, MemoryJobStore, Misfire, MockJobHandler, Outcome,
    Overlap, RunNow, Scheduler, SchedulerError, ShutdownReport,
};
use tokio::time::sleep;

use crate::fixture::{Fixture, at, job, minutes, scheduled_for, wall};

fn last_outcome(status: steadfast_scheduler::JobStatus) -> Outcome {
    status.last.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn row_14_nothing_fires_before_start_and_the_status_is_the_truth() {
    let fixture = Fixture::with(
        Arc::new(MemoryJobStore::new()),
        Behaviour::UntilCancelled,
        |b| b,
    );
    let generation = fixture.upsert(job("job", "0 * * * *")).await;
    sleep(minutes(31)).await;
    assert!(fixture.handler.fires().is_empty());
    let status = fixture.status("job").await;
    assert_eq!(
        (status.running, status.last, status.generation),
        (0, None, generation)
    );

    fixture.scheduler.start().await;
    fixture.handler.wait_for_fires(1).await;
    let status = fixture.status("job").await;
    assert_eq!(
        (status.running, status.next_fire),
        (1, Some(at("02:00:00")))
    );
    fixture.handler.fires()[0].cancel.cancel();
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(status.running, 0);
    let last = status.last.unwrap();
    assert_eq!(
        (last.scheduled_for, last.outcome),
        (at("01:00:00"), Outcome::Succeeded)
    );
}

#[tokio::test(start_paused = true)]
async fn row_12_a_sunday_job_fires_on_sunday() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    fixture.upsert(job("job", "0 9 * * 0")).await;
    let status = fixture.status("job").await;
    // 1 January 2030 is a Tuesday.
    assert_eq!(
        status.next_fire,
        Some("2030-01-06T09:00:00Z".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn job_fires_at_its_instants_and_an_upsert_wakes_the_driver_at_once() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    sleep(Duration::from_secs(17)).await;
    fixture.upsert(job("job", "@every 1s")).await;
    let fires = fixture.handler.wait_for_fires(3).await;
    assert_eq!(
        scheduled_for(&fires),
        [at("00:30:18"), at("00:30:19"), at("00:30:20")]
    );
    assert!(
        fires
            .iter()
            .all(|fire| fire.late < Duration::from_millis(5)),
        "{fires:?}"
    );
    assert!(fires.iter().all(|fire| fire.cause == Cause::Scheduled));
    assert!(fires.windows(2).all(|pair| pair[0].fence < pair[1].fence));
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_by_key_and_never_changes_scheduled_for() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    for number in 0..50 {
        fixture
            .upsert(job(&format!("job {number}"), "0 * * * *").jitter(minutes(10)))
            .await;
    }
    let fires = fixture.handler.wait_for_fires(50).await;
    assert!(
        fires
            .iter()
            .all(|fire| fire.scheduled_for == at("01:00:00"))
    );
    assert!(
        fires
            .iter()
            .all(|fire| fire.late <= minutes(10) + Duration::from_millis(5))
    );
    let spread = fires.iter().filter(|fire| fire.late > minutes(5)).count();
    assert!(
        (10..40).contains(&spread),
        "{spread} of 50 in the second half"
    );

    let again = fixture.handler.wait_for_fires(100).await;
    let late = |key: &JobKey, fires: &[steadfast_scheduler::Fire]| {
        fires
            .iter()
            .find(|fire| fire.key == *key)
            .unwrap()
            .late
            .as_secs()
    };
    assert!(
        fires
            .iter()
            .all(|fire| late(&fire.key, &again[50..]) == fire.late.as_secs())
    );
}

#[tokio::test(start_paused = true)]
async fn error_panic_and_timeout_are_outcomes_and_the_job_goes_on() {
    let fixture = Fixture::started(Behaviour::Fail).await;
    fixture
        .upsert(job("job", "0 * * * *").timeout(minutes(5)))
        .await;
    fixture.handler.wait_for_fires(1).await;
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(
        last_outcome(status),
        Outcome::Failed {
            message: "told to fail".into()
        }
    );

    fixture.handler.behave(Behaviour::Panic);
    fixture.handler.wait_for_fires(2).await;
    sleep(minutes(1)).await;
    let status = fixture.status("job").await;
    assert_eq!(
        last_outcome(status),
        Outcome::Panicked {
            message: "told to panic".into()
        }
    );

    fixture.handler.behave(Behaviour::Take(minutes(6)));
    let fires = fixture.handler.wait_for_fires(3).await;
    sleep(minutes(5) + Duration::from_secs(1)).await;
    assert_eq!(last_outcome(fixture.status("job").await), Outcome::TimedOut);
    assert!(fires[2].cancel.is_cancelled());

    fixture.handler.behave(Behaviour::Succeed);
    fixture.handler.wait_for_fires(4).await;
    sleep(minutes(1)).await;
    assert_eq!(
        last_outcome(fixture.status("job").await),
        Outcome::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn mocked_handler_is_called_once_with_the_fire() {
    let mut handler = MockJobHandler::new();
    let (done, mut ran) = tokio::sync::mpsc::channel(1);
    handler.expect_run().times(1).returning(move |fire| {
        done.try_send(fire.key).unwrap();
        Ok(())
    });
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("ns", store, Arc::new(handler))
        .build()
        .unwrap();
    scheduler.start().await;
    scheduler.upsert(job("job", "@yearly")).await.unwrap();
    scheduler.run_now(&"job".into()).await.unwrap();
    assert_eq!(ran.recv().await, Some("job".into()));
    scheduler.shutdown(minutes(1)).await;
}

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
async fn jobs_with_one_lock_name_never_run_at_the_same_time() {
    let fixture = Fixture::started(Behaviour::Take(minutes(1))).await;
    for number in 0..4 {
        fixture
            .upsert(job(&format!("job {number}"), "0 1 * * *").lock("exclusive"))
            .await;
        fixture
            .upsert(job(&format!("free {number}"), "0 2 * * *"))
            .await;
    }
    sleep(minutes(40)).await;
    assert_eq!(
        (
            fixture.handler.fires().len(),
            fixture.handler.most_at_once()
        ),
        (4, 1)
    );
    fixture.handler.wait_for_fires(8).await;
    assert_eq!(fixture.handler.most_at_once(), 4);
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_bounded_and_what_waits_is_not_lost() {
    let store = Arc::new(MemoryJobStore::new());
    let fixture = Fixture::with(store, Behaviour::Take(Duration::from_secs(1)), |b| {
        b.max_concurrency(3)
    });
    fixture.scheduler.start().await;
    for number in 0..30 {
        fixture
            .upsert(job(&format!("job {number}"), "0 1 * * *"))
            .await;
    }
    fixture.handler.wait_for_fires(30).await;
    fixture.handler.wait_for_ends(30).await;
    assert_eq!(fixture.handler.most_at_once(), 3);
}

#[tokio::test(start_paused = true)]
async fn skip_queue_and_allow_bound_what_runs_at_once() {
    for (overlap, most, fired) in [
        (Overlap::Skip, 1, [at("00:31:00"), at("00:34:00")]),
        (Overlap::QueueOne, 1, [at("00:31:00"), at("00:33:00")]),
        (Overlap::Allow(2), 2, [at("00:31:00"), at("00:32:00")]),
    ] {
        let fixture = Fixture::started(Behaviour::Take(Duration::from_secs(150))).await;
        fixture
            .upsert(job("job", "* * * * *").overlap(overlap))
            .await;
        sleep(minutes(20)).await;
        assert_eq!(fixture.fired()[..2], fired, "{overlap:?}");
        assert_eq!(fixture.handler.most_at_once(), most, "{overlap:?}");
        assert!(fixture.status("job").await.skipped > 5, "{overlap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replacement_cancels_the_old_run_and_waits_until_it_has_ended() {
    // Renewals, which would find the old run's lease lost, are not at the same time.
    let store = Arc::new(MemoryJobStore::new());
    let lease = Duration::from_secs(25);
    let fixture = Fixture::with(store, Behaviour::UntilCancelled, |b| b.lease(lease));
    fixture.scheduler.start().await;
    fixture
        .upsert(job("job", "* * * * *").overlap(Overlap::Replace))
        .await;
    let fires = fixture.handler.wait_for_fires(3).await;
    assert!(fires[0].cancel.is_cancelled() && fires[1].cancel.is_cancelled());
    assert!(!fires[2].cancel.is_cancelled());
    assert!(
        fires.iter().all(|fire| fire.late < Duration::from_secs(1)),
        "cancelled at once"
    );
    assert_eq!(fixture.handler.most_at_once(), 1);

    // One that does not listen is dropped after a while.
    fixture.handler.behave(Behaviour::Take(minutes(60 * 24)));
    fixture.handler.wait_for_fires(5).await;
    assert_eq!(fixture.handler.most_at_once(), 1);
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
async fn long_run_keeps_its_lease() {
    let fixture = Fixture::started(Behaviour::Take(minutes(30))).await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    fixture.handler.wait_for_ends(1).await;
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(last_outcome(status), Outcome::Succeeded);
    assert_eq!(fixture.handler.fires().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn forward_jump_of_the_clock_is_a_misfire() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    fixture.upsert(job("once", "0 * * * *")).await;
    fixture
        .upsert(job("skip", "0 * * * *").misfire(Misfire::Skip))
        .await;
    sleep(minutes(1)).await;
    fixture.clock.shift_wall(86_400);
    sleep(Duration::from_secs(31)).await;
    let fires = fixture.handler.fires();
    assert_eq!(
        scheduled_for(&fires),
        ["2030-01-02T00:00:00Z".parse().unwrap()]
    );
    assert_eq!(
        (fires[0].key.as_str(), fires[0].cause),
        ("once", Cause::Misfire)
    );
    assert_eq!(fixture.status("once").await.skipped, 23);
    assert_eq!(fixture.status("skip").await.skipped, 24);
}

#[tokio::test(start_paused = true)]
async fn forward_jump_does_not_start_what_is_at_work_a_second_time() {
    let fixture = Fixture::started(Behaviour::Take(minutes(90))).await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    sleep(Duration::from_secs(1)).await;
    fixture.clock.shift_wall(3_600);
    fixture.handler.wait_for_ends(1).await;
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(
        (last_outcome(status), fixture.handler.fires().len()),
        (Outcome::Succeeded, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn backward_jump_of_the_clock_holds_and_fires_nothing_twice() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    fixture.upsert(job("job", "0 * * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    fixture.clock.shift_wall(-3_600);
    sleep(minutes(119)).await;
    assert_eq!(fixture.fired(), [at("01:00:00")]);
    fixture.handler.wait_for_fires(2).await;
    assert_eq!(fixture.fired(), [at("01:00:00"), at("02:00:00")]);
}

#[tokio::test(start_paused = true)]
async fn schedule_past_795_days_fires() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    fixture.upsert(job("job", "0 0 29 2 *")).await;
    let next = fixture.status("job").await.next_fire.unwrap();
    assert_eq!(next, "2032-02-29T00:00:00Z".parse().unwrap());
    sleep(minutes(5)).await;
    fixture.clock.set_wall(wall(next));
    let fires = fixture.handler.wait_for_fires(1).await;
    assert_eq!(
        (fires[0].scheduled_for, fires[0].cause),
        (next, Cause::Scheduled)
    );
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_due_in_the_same_second_all_fire_once() {
    const JOBS: usize = 20_000;
    let fixture = Fixture::started(Behaviour::Succeed).await;
    for number in 0..JOBS {
        fixture
            .upsert(job(&format!("user:{number}"), "0 1 * * *"))
            .await;
    }
    let fires = fixture.handler.wait_for_fires(JOBS).await;
    sleep(minutes(10)).await;
    assert_eq!(fixture.handler.fires().len(), JOBS);
    let keys: std::collections::HashSet<_> = fires.iter().map(|fire| &fire.key).collect();
    assert_eq!(keys.len(), JOBS, "one fire for each");
    assert!(fires.iter().all(|fire| fire.late < Duration::from_secs(1)));
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
    assert_eq!(refused(builder().poll(minutes(1))), "poll");
    assert_eq!(refused(builder().owner("")), "owner");
}
