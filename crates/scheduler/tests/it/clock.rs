//! Clocks that jump, and times far away.

use std::time::Duration;

use steadfast_scheduler::{Behaviour, Cause, Misfire, Outcome};
use tokio::time::sleep;

use crate::fixture::{Fixture, at, job, last_outcome, minutes, scheduled_for, wall};

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
