use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_privacy::{
    BuildError, MockRetentionStore, MockRunLog, Operation, PolicyStatus, PortError, PrivacyError,
    Records, RetentionPolicy, RunLog, RunStatus, Trigger,
};
use tokio::task::JoinSet;

use crate::World;

#[tokio::test(start_paused = true)]
async fn cleanup_deletes_what_is_past_retention_and_nothing_else() {
    let world = World::new();
    for policy in RetentionPolicy::defaults() {
        let days = i64::from(policy.days);
        for age in [days - 1, days + 1, days + 400] {
            world.store.plant(policy.records, world.days_ago(age));
        }
    }
    let run = world.privacy().cleanup(Trigger::Schedule).await.unwrap();
    assert_eq!(
        (run.status, run.policies.len()),
        (RunStatus::Succeeded, Records::ALL.len())
    );
    for outcome in &run.policies {
        assert_eq!(
            (outcome.status, outcome.deleted),
            (PolicyStatus::Succeeded, 2)
        );
        assert_eq!(world.store.count(outcome.records), 1);
    }
    assert_eq!(world.log.list(None, None, 9).await.unwrap(), [run]);
}

#[tokio::test(start_paused = true)]
async fn cleanup_takes_batches_with_pauses() {
    let world = World::new();
    for _ in 0..1_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world
        .builder()
        .batch(100)
        .pause(Duration::from_millis(200))
        .build()
        .unwrap();
    let started = world.clock.monotonic();
    privacy.cleanup(Trigger::Cli).await.unwrap();
    assert_eq!(world.store.count(Records::Sessions), 0);
    assert_eq!(world.clock.monotonic() - started, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn hold_and_switched_off_policy_delete_nothing() {
    let world = World::new();
    for records in [Records::Sessions, Records::UserEvents] {
        world.store.plant(records, world.days_ago(1_000));
    }
    let policies = vec![
        RetentionPolicy {
            legal_hold: true,
            ..RetentionPolicy::default_for(Records::Sessions)
        },
        RetentionPolicy {
            enabled: false,
            ..RetentionPolicy::default_for(Records::UserEvents)
        },
    ];
    let run = world
        .builder()
        .policies(policies)
        .build()
        .unwrap()
        .cleanup(Trigger::Api)
        .await;
    let statuses: Vec<_> = run
        .unwrap()
        .policies
        .iter()
        .map(|outcome| outcome.status)
        .collect();
    assert_eq!(statuses, [PolicyStatus::Held, PolicyStatus::Disabled]);
    assert_eq!(world.store.count(Records::Sessions), 1);
    assert_eq!(world.store.count(Records::UserEvents), 1);
}

#[tokio::test(start_paused = true)]
async fn row_08_every_trigger_goes_through_one_lock() {
    let world = World::new();
    for _ in 0..2_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    // The command line is another process: another service over the same locks.
    let (server, command_line) = (Arc::new(world.privacy()), Arc::new(world.privacy()));
    let mut tasks = JoinSet::new();
    for (privacy, trigger) in [
        (server.clone(), Trigger::Schedule),
        (server, Trigger::Api),
        (command_line, Trigger::Cli),
    ] {
        tasks.spawn(async move { privacy.cleanup(trigger).await.unwrap() });
    }
    let mut statuses: Vec<_> = tasks
        .join_all()
        .await
        .iter()
        .map(|run| run.status)
        .collect();
    statuses.sort_by_key(|status| status.name());
    assert_eq!(
        statuses,
        [RunStatus::Skipped, RunStatus::Skipped, RunStatus::Succeeded]
    );

    let stored = world
        .log
        .list(Some(Operation::Cleanup), None, 9)
        .await
        .unwrap();
    let skipped: Vec<_> = stored
        .iter()
        .filter(|run| run.status == RunStatus::Skipped)
        .collect();
    assert_eq!(
        (stored.len(), skipped.len()),
        (3, 2),
        "also what was skipped is stored"
    );
    assert!(
        skipped
            .iter()
            .all(|run| run.policies.is_empty() && run.finished_at.is_some())
    );
    let again = world.privacy().cleanup(Trigger::Cli).await.unwrap();
    assert_eq!(again.status, RunStatus::Succeeded, "the lock is free again");
}

#[tokio::test(start_paused = true)]
async fn operations_do_not_keep_each_other_out() {
    let world = World::new();
    for _ in 0..2_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world.privacy();
    let (cleanup, compliance) = tokio::join!(
        privacy.cleanup(Trigger::Schedule),
        privacy.compliance(Trigger::Schedule)
    );
    assert_eq!(cleanup.unwrap().status, RunStatus::Succeeded);
    assert_eq!(compliance.unwrap().status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn row_15_partial_failure_is_failure_and_each_outcome_is_stored() {
    let world = World::new();
    let mut store = MockRetentionStore::new();
    store
        .expect_delete_batch()
        .returning(|records, _, _| match records {
            Records::ReadNotifications => Err(PortError::permanent("disk on fire")),
            _ => Ok(3),
        });
    let privacy = world
        .builder_over(Arc::new(store), world.log.clone())
        .build()
        .unwrap();
    let error = privacy.cleanup(Trigger::Schedule).await.unwrap_err();
    assert!(error.to_string().contains("read_notifications"), "{error}");
    assert!(error.to_string().contains("disk on fire"), "{error}");
    let PrivacyError::Incomplete { run } = error else {
        panic!("{error:?}")
    };
    assert_eq!(run.status, RunStatus::Failed);
    for outcome in &run.policies {
        let expected = match outcome.records {
            Records::ReadNotifications => (PolicyStatus::Failed, 0, true),
            _ => (PolicyStatus::Succeeded, 3, false),
        };
        assert_eq!(
            (outcome.status, outcome.deleted, outcome.error.is_some()),
            expected
        );
    }
    // What is stored says the same, and is no success.
    assert_eq!(world.log.list(None, None, 9).await.unwrap(), [*run]);
    assert_eq!(
        world.log.last_success(Operation::Cleanup).await.unwrap(),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn failure_halfway_keeps_the_count_of_what_was_deleted() {
    let world = World::new();
    let (mut batches, mut store) = (0, MockRetentionStore::new());
    store.expect_delete_batch().returning(move |_, _, limit| {
        batches += 1;
        match batches {
            1 | 2 => Ok(u64::from(limit)),
            // Transient failures are repeated; this one does not pass.
            _ => Err(PortError::transient("database is locked")),
        }
    });
    let policies = vec![RetentionPolicy::default_for(Records::Sessions)];
    let privacy = world
        .builder_over(Arc::new(store), world.log.clone())
        .policies(policies);
    let error = privacy
        .batch(10)
        .build()
        .unwrap()
        .cleanup(Trigger::Cli)
        .await
        .unwrap_err();
    let PrivacyError::Incomplete { run } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (run.policies[0].deleted, run.policies[0].status),
        (20, PolicyStatus::Failed)
    );
}

#[tokio::test(start_paused = true)]
async fn store_that_recovers_is_no_failure() {
    let world = World::new();
    let (mut calls, mut store) = (0, MockRetentionStore::new());
    store
        .expect_delete_batch()
        .times(3)
        .returning(move |_, _, _| {
            calls += 1;
            match calls {
                1 | 2 => Err(PortError::transient("database is locked")),
                _ => Ok(1),
            }
        });
    let policies = vec![RetentionPolicy::default_for(Records::Sessions)];
    let privacy = world
        .builder_over(Arc::new(store), world.log.clone())
        .policies(policies);
    let run = privacy
        .build()
        .unwrap()
        .cleanup(Trigger::Cli)
        .await
        .unwrap();
    assert_eq!(
        (run.status, run.policies[0].deleted),
        (RunStatus::Succeeded, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_that_cannot_be_logged() {
    let world = World::new();
    let mut log = MockRunLog::new();
    log.expect_begin()
        .times(1)
        .returning(|_| Err(PortError::transient("down")));
    // Without expectations, any call of the store would panic.
    let store = Arc::new(MockRetentionStore::new());
    let privacy = world.builder_over(store, Arc::new(log)).build().unwrap();
    let error = privacy.cleanup(Trigger::Cli).await.unwrap_err();
    assert!(matches!(error, PrivacyError::Log { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn log_that_is_busy_for_a_moment_neither_ends_the_cleanup_nor_leaves_it_running() {
    let world = World::new();
    let mut log = MockRunLog::new();
    log.expect_begin().times(1).returning(|_| Ok(()));
    let (mut records, mut finishes) = (0, 0);
    let busy = move |calls: &mut u32| {
        *calls += 1;
        match *calls {
            1 => Err(PortError::transient("database is locked")),
            _ => Ok(()),
        }
    };
    log.expect_record()
        .times(Records::ALL.len() + 1)
        .returning(move |_, _| busy(&mut records));
    log.expect_finish()
        .times(2)
        .returning(move |_| busy(&mut finishes));
    let privacy = world.builder_over(world.store.clone(), Arc::new(log));
    let run = privacy.build().unwrap().cleanup(Trigger::Cli).await;
    assert_eq!(run.unwrap().status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn run_of_a_process_that_died_is_failed_by_the_next_start() {
    let world = World::new();
    for _ in 0..2_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world.privacy();
    let dropped = tokio::time::timeout(Duration::from_millis(15), privacy.cleanup(Trigger::Api));
    assert!(dropped.await.is_err());
    assert_eq!(privacy.recover().await.unwrap(), 0, "its lock is held");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(privacy.recover().await.unwrap(), 1);
    let stored = world.log.list(None, None, 9).await.unwrap();
    assert_eq!(stored[0].status, RunStatus::Failed);

    let (cleanup, recovered) = tokio::join!(privacy.cleanup(Trigger::Cli), privacy.recover());
    assert_eq!(cleanup.unwrap().status, RunStatus::Succeeded);
    assert_eq!(recovered.unwrap(), 0, "that one was at work");
}

#[tokio::test(start_paused = true)]
async fn cleanup_that_takes_too_long_ends_as_a_failure() {
    let world = World::new();
    for _ in 0..100 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world.builder().batch(1).pause(Duration::from_secs(1));
    let privacy = privacy
        .max_duration(Duration::from_secs(10))
        .build()
        .unwrap();
    let error = privacy.cleanup(Trigger::Schedule).await.unwrap_err();
    assert!(error.to_string().contains("not done within 10s"), "{error}");
    assert_eq!(world.store.count(Records::Sessions), 90);
}

#[tokio::test(start_paused = true)]
async fn run_that_was_dropped_is_failed_by_the_next() {
    let world = World::new();
    for _ in 0..2_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world.privacy();
    let dropped = tokio::time::timeout(Duration::from_millis(15), privacy.cleanup(Trigger::Api));
    assert!(dropped.await.is_err());
    let stored = world.log.list(None, None, 9).await.unwrap();
    assert_eq!(stored[0].status, RunStatus::Running);
    // Its lease ends by itself.
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(
        privacy.cleanup(Trigger::Cli).await.unwrap().status,
        RunStatus::Succeeded
    );
    let stored = world.log.list(None, None, 9).await.unwrap();
    let statuses: Vec<_> = stored.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [RunStatus::Succeeded, RunStatus::Failed]);
}

#[tokio::test]
async fn builder_names_the_field_at_fault() {
    let world = World::new();
    let field = |built: Result<_, BuildError>| built.map(drop).unwrap_err().field;
    assert_eq!(field(world.builder().batch(0).build()), "batch");
    assert_eq!(
        field(world.builder().max_duration(Duration::ZERO).build()),
        "max_duration"
    );
    assert_eq!(field(world.builder().owner("").build()), "owner");
    let sessions = RetentionPolicy::default_for(Records::Sessions);
    let twice = vec![sessions.clone(), sessions.clone()];
    assert_eq!(field(world.builder().policies(twice).build()), "policies");
    let too_long = vec![RetentionPolicy {
        days: 366,
        ..sessions
    }];
    assert_eq!(
        field(world.builder().policies(too_long).build()),
        "sessions.days"
    );
}
