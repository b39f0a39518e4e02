use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_db_init::{Database, DatabaseBuilder, InitError, MemoryBackend, Phase, Status};
use steadfast_sync::CircuitBreaker;
use tokio::task::JoinSet;

use crate::gated::Gated;

fn down() -> (MemoryBackend, DatabaseBuilder<MemoryBackend>) {
    let server = MemoryBackend::new();
    server.set_down(true);
    let clock = Arc::new(ManualClock::ticking(std::time::SystemTime::UNIX_EPOCH));
    let builder = Database::builder(server.clone()).clock(clock);
    (server, builder)
}

#[tokio::test(start_paused = true)]
async fn outage_of_thirty_seconds_is_ridden_out_in_ten_connects() {
    for seed in 0..200 {
        let (server, builder) = down();
        let database = Arc::new(builder.seed(seed).build().unwrap());
        let mut caller = JoinSet::new();
        caller.spawn({
            let database = Arc::clone(&database);
            async move { database.initialize().await }
        });
        tokio::time::sleep(Duration::from_secs(30)).await;
        let connects = server.connects();
        assert!((6..=10).contains(&connects), "{connects} with seed {seed}");
        server.set_down(false);
        caller.join_next().await.unwrap().unwrap().unwrap();
        assert!(matches!(database.status(), Status::Ready { generation: 1 }));
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_an_outage_with_its_cause() {
    let (_, builder) = down();
    let started = SystemClock.monotonic();
    let database = builder.deadline(Duration::from_secs(8)).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(SystemClock.monotonic() - started <= Duration::from_secs(8));
    assert!(matches!(
        &*error,
        InitError::Deadline {
            phase: Phase::Connect,
            last: Some(_),
            ..
        }
    ));
    let text = crate::chain(&*error);
    assert!(
        text.ends_with("while connecting: cannot reach the database in memory"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_names_the_phase_that_hangs() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        let gate = Gated::new(phase);
        let deadline = Duration::from_secs(3);
        let database = Database::builder(gate.clone()).deadline(deadline).build();
        let database = database.unwrap();
        let error = database.initialize().await.unwrap_err();
        assert!(
            matches!(&*error, InitError::Deadline { phase: seen, last: None, .. }
            if *seen == phase)
        );
        assert_eq!(gate.pools_closed(), u64::from(phase != Phase::Connect));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_counted() {
    let (server, builder) = down();
    let database = builder.max_attempts(3).build().unwrap();
    let mut statuses = database.subscribe();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Exhausted { attempts: 3, .. }));
    assert_eq!(server.connects(), 3);
    assert!(matches!(
        *statuses.borrow_and_update(),
        Status::Failed { generation: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn open_breaker_fails_a_new_generation_at_once_until_its_time() {
    let (server, builder) = down();
    let clock = Arc::new(ManualClock::ticking(std::time::SystemTime::UNIX_EPOCH));
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .open_for(Duration::from_secs(60))
        .clock(clock)
        .build()
        .unwrap();
    let database = builder.max_attempts(2).breaker(breaker).build().unwrap();
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Exhausted { attempts: 2, .. }));

    let refused = database.initialize().await.unwrap_err();
    assert!(
        matches!(*refused, InitError::CircuitOpen { retry_after: Some(after) }
        if after > Duration::from_secs(59) && after <= Duration::from_secs(60))
    );
    assert_eq!(server.connects(), 2, "nothing was tried");

    server.set_down(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    database.initialize().await.unwrap();
    assert!(matches!(database.status(), Status::Ready { generation: 3 }));
}

#[test]
fn option_that_cannot_work_is_named() {
    let build = |builder: DatabaseBuilder<MemoryBackend>| builder.build().unwrap_err();
    let builder = || Database::builder(MemoryBackend::new());
    assert_eq!(build(builder().max_attempts(0)).field(), "max_attempts");
    assert_eq!(
        build(builder().deadline(Duration::ZERO)).field(),
        "deadline"
    );
    let error = build(builder().initial_delay(Duration::from_secs(9)));
    assert_eq!(
        error.to_string(),
        "`max_delay` must be at least `initial_delay`"
    );
}
