//! How runs start, end and are reported.

use std::{sync::Arc, time::Duration};

use steadfast_scheduler::{
    Behaviour, Cause, JobKey, MemoryJobStore, MockJobHandler, Outcome, Overlap, Scheduler,
};
use tokio::time::sleep;

use crate::fixture::{Fixture, at, job, last_outcome, minutes, scheduled_for};

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
async fn long_run_keeps_its_lease() {
    let fixture = Fixture::started(Behaviour::Take(minutes(30))).await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    fixture.handler.wait_for_ends(1).await;
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(last_outcome(status), Outcome::Succeeded);
    assert_eq!(fixture.handler.fires().len(), 1);
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
