//! What a database tells of its failures: how many in a row, the last one, and alerts.

use std::{sync::Arc, time::Duration};

use steadfast_db_init::{
    Alert, Database, DatabaseBuilder, InitError, MemoryBackend, Phase, Status,
};
use steadfast_sync::{CircuitBreaker, Registry};
use tokio::sync::broadcast::error::TryRecvError;

use crate::gated::Gated;

const DOWN: &str = "cannot reach the database in memory";

fn down() -> (MemoryBackend, DatabaseBuilder<MemoryBackend>) {
    let server = MemoryBackend::new();
    server.set_down(true);
    (server.clone(), Database::builder(server))
}

fn count<B: steadfast_db_init::Backend>(database: &Database<B>) -> u32 {
    database.snapshot().failures
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_raise_one_alert_and_their_end_another() {
    let (server, builder) = down();
    let database = builder.name("orders").max_attempts(2).build().unwrap();
    let mut alerts = database.alerts();
    database.initialize().await.unwrap_err();
    assert_eq!(count(&database), 2);
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
    database.initialize().await.unwrap_err();
    let snapshot = database.snapshot();
    assert_eq!((&*snapshot.name, snapshot.failures), ("orders", 4));
    assert_eq!(snapshot.last_error.as_deref(), Some(DOWN));
    assert!(snapshot.stats.is_none());
    let expected = Alert::FailsRepeatedly {
        database: "orders".into(),
        failures: 3,
        error: DOWN.into(),
    };
    assert_eq!(alerts.try_recv(), Ok(expected));
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty), "raised once");

    server.set_down(false);
    database.initialize().await.unwrap();
    let snapshot = database.snapshot();
    assert!(snapshot.status.is_ready() && snapshot.stats.is_some());
    assert_eq!(snapshot.failures, 0);
    assert_eq!(snapshot.last_error.as_deref(), Some(DOWN), "it is kept");
    let expected = Alert::Recovered {
        database: "orders".into(),
        failures: 4,
    };
    assert_eq!(alerts.try_recv(), Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn failures_below_the_threshold_raise_no_alert_and_closing_does_not_reset_them() {
    let (server, builder) = down();
    let database = builder.failure_threshold(4).max_attempts(1);
    let database = database.build().unwrap();
    let mut alerts = database.alerts();
    for expected in 1..=3 {
        database.initialize().await.unwrap_err();
        database.close(Duration::from_secs(1)).await;
        assert_eq!(count(&database), expected);
    }
    server.set_down(false);
    database.initialize().await.unwrap();
    assert_eq!(count(&database), 0);
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test(start_paused = true)]
async fn generation_that_the_breaker_refuses_is_seen_in_the_status() {
    let (server, builder) = down();
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(Duration::from_secs(60))
        .build();
    let database = builder.max_attempts(1).breaker(breaker.unwrap());
    let database = database.build().unwrap();
    let cause = database.initialize().await.unwrap_err();
    let refused = database.initialize().await.unwrap_err();
    let Status::Failed {
        generation: 2,
        error,
    } = database.status()
    else {
        panic!("{}", database.status());
    };
    assert!(Arc::ptr_eq(&error, &refused) && !Arc::ptr_eq(&error, &cause));
    let InitError::CircuitOpen { retry_after } = *error else {
        panic!("{error:?}");
    };
    let retry_after = retry_after.unwrap();
    assert!(retry_after <= Duration::from_secs(60));
    let text = database.status().to_string();
    let expected = "failed (generation 2): the database failed repeatedly, and the circuit \
        breaker admits no attempt for another ";
    assert!(text.starts_with(expected), "{text}");
    // What is the matter is still told, and a refusal is no failure.
    let snapshot = database.snapshot();
    assert_eq!(snapshot.last_error.as_deref(), Some(DOWN));
    assert_eq!((snapshot.failures, server.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn attempt_that_panics_or_is_cut_off_counts_and_one_that_is_stopped_does_not() {
    let gate = Gated::new(Phase::Migrate);
    let deadline = Duration::from_secs(3);
    let database = Database::builder(gate.clone()).deadline(deadline).build();
    let database = database.unwrap();
    gate.panic_next(1);
    gate.open(1);
    database.initialize().await.unwrap_err();
    let panicked = database.snapshot();
    assert_eq!(panicked.failures, 1);
    let expected = "the database's backend panicked while migrating: boom while migrating";
    assert_eq!(panicked.last_error.as_deref(), Some(expected));

    database.initialize().await.unwrap_err();
    let cut_off = database.snapshot();
    assert_eq!(cut_off.failures, 2);
    let expected = "the database was not initialised in time; the deadline passed while migrating";
    assert_eq!(cut_off.last_error.as_deref(), Some(expected));

    let (outcome, _) = tokio::join!(database.initialize(), async {
        gate.reached().await;
        database.close(Duration::from_secs(1)).await
    });
    assert!(matches!(*outcome.unwrap_err(), InitError::ShutDown));
    assert_eq!(count(&database), 2);
}

#[tokio::test(start_paused = true)]
async fn deadline_that_passes_between_two_attempts_is_no_failure_of_its_own() {
    let (server, builder) = down();
    // The delays are mostly longer than what is left.
    let database = builder.deadline(Duration::from_millis(20)).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Deadline { last: Some(_), .. }));
    assert_eq!(u64::from(count(&database)), server.connects());
}

#[tokio::test]
async fn name_is_the_one_of_its_primitives_in_the_registry() {
    let (_, builder) = down();
    let _database = builder.name("invoices").build().unwrap();
    let snapshot = Registry::global().snapshot();
    let named = snapshot.iter().filter(|entry| entry.name == "invoices");
    assert_eq!(named.count(), 3, "retry, breaker and cell");
}

#[test]
fn threshold_of_zero_is_refused() {
    let error = down().1.failure_threshold(0).build().unwrap_err();
    assert_eq!(error.field(), "failure_threshold");
}
