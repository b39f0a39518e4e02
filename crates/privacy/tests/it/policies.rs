use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use steadfast_clock::Clock;
use steadfast_privacy::{
    ChangedBy, PolicyPatch, PolicySnapshot, PolicyStatus, PortError, Privacy, PrivacyError,
    Records, RetentionPolicy, RetentionStore, RunStatus, Trigger, test_util::MemoryRetention,
};
use tokio::task::JoinSet;

use crate::World;

async fn change(
    privacy: &Privacy,
    records: Records,
    patch: PolicyPatch,
    expected: Option<u64>,
) -> Result<RetentionPolicy, PrivacyError> {
    let by = ChangedBy::default();
    privacy.change_policy(records, &patch, expected, by).await
}

fn days(days: u32) -> PolicyPatch {
    PolicyPatch {
        days: Some(days),
        ..PolicyPatch::default()
    }
}

#[tokio::test(start_paused = true)]
async fn change_is_in_force_for_the_next_run_of_every_process() {
    let world = World::new();
    let (here, elsewhere) = (world.privacy(), world.privacy());
    world.store.plant(Records::Sessions, world.days_ago(45));
    let reason = Some("the works council asked".to_owned());
    let patch = PolicyPatch {
        reason: reason.clone(),
        ..days(60)
    };
    let changed = change(&here, Records::Sessions, patch, Some(1)).await;
    let changed = changed.unwrap();
    assert_eq!((changed.days, changed.version), (60, 2));
    assert_eq!(changed.reason, reason);
    assert!(changed.updated_at.is_some());
    assert!(elsewhere.policies().await.unwrap().contains(&changed));

    elsewhere.cleanup(Trigger::Cli).await.unwrap();
    assert_eq!(world.store.count(Records::Sessions), 1);
    let changed = change(&elsewhere, Records::Sessions, days(40), None).await;
    assert_eq!(changed.unwrap().reason, None, "it was that of the change");
    here.cleanup(Trigger::Cli).await.unwrap();
    assert_eq!(world.store.count(Records::Sessions), 0);
}

#[tokio::test(start_paused = true)]
async fn days_outside_of_the_caps_and_empty_reasons_are_refused_by_name() {
    let world = World::new();
    let privacy = world.privacy();
    for patch in [days(0), days(366)] {
        let refused = change(&privacy, Records::Sessions, patch, None).await;
        let Err(PrivacyError::InvalidPolicy { field, problem }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((&*field, &*problem), ("days", "must be from 1 to 365"));
    }
    for reason in [" ".to_owned(), "x".repeat(501)] {
        let patch = PolicyPatch {
            reason: Some(reason),
            ..PolicyPatch::default()
        };
        let refused = change(&privacy, Records::Sessions, patch, None).await;
        assert!(
            matches!(&refused, Err(PrivacyError::InvalidPolicy { field, .. }) if field == "reason"),
            "{refused:?}"
        );
    }
    let defaults = RetentionPolicy::defaults();
    assert_eq!(privacy.policies().await.unwrap(), defaults);
}

#[tokio::test]
async fn of_concurrent_changes_of_one_version_one_wins_and_without_one_all_count() {
    let world = World::new();
    let privacy = Arc::new(world.privacy());
    let mut changing = JoinSet::new();
    for n in 0..32 {
        let privacy = privacy.clone();
        changing
            .spawn(async move { change(&privacy, Records::Sessions, days(n + 1), Some(1)).await });
    }
    let outcomes = changing.join_all().await;
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(refused, PrivacyError::PolicyVersion { .. }),
            "{refused:?}"
        );
    }
    for n in 0..5 {
        let changed = change(&privacy, Records::Sessions, days(n + 1), None).await;
        assert_eq!(changed.unwrap().version, u64::from(n) + 3);
    }
}

/// Sets a legal hold while it deletes its third batch.
struct HeldMidway {
    store: Arc<MemoryRetention>,
    batches: AtomicU32,
    other: OnceLock<Privacy>,
}

#[async_trait]
impl RetentionStore for HeldMidway {
    async fn count_expired(&self, records: Records, cutoff: Timestamp) -> Result<u64, PortError> {
        self.store.count_expired(records, cutoff).await
    }

    async fn oldest(&self, records: Records) -> Result<Option<Timestamp>, PortError> {
        self.store.oldest(records).await
    }

    async fn delete_batch(
        &self,
        records: Records,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<u64, PortError> {
        let batch = 1 + self.batches.fetch_add(1, Ordering::SeqCst);
        let deleted = self.store.delete_batch(records, cutoff, limit).await?;
        if batch == 3 {
            let hold = PolicyPatch {
                legal_hold: Some(true),
                ..PolicyPatch::default()
            };
            let other = self.other.get().unwrap();
            change(other, records, hold, None).await.unwrap();
        }
        Ok(deleted)
    }
}

#[tokio::test(start_paused = true)]
async fn legal_hold_that_is_set_midway_by_another_process_stops_at_the_next_batch() {
    let world = World::new();
    for _ in 0..1_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let store = Arc::new(HeldMidway {
        store: world.store.clone(),
        batches: 0.into(),
        other: OnceLock::new(),
    });
    assert!(store.other.set(world.privacy()).is_ok());
    let policies = vec![RetentionPolicy::default_for(Records::Sessions)];
    let privacy = world.builder_over(store, world.log.clone()).batch(100);
    let privacy = privacy.policies(policies).build().unwrap();
    let run = privacy.cleanup(Trigger::Schedule).await.unwrap();
    let outcome = &run.policies[0];
    assert_eq!(
        (outcome.status, outcome.deleted, run.status),
        (PolicyStatus::Held, 300, RunStatus::Succeeded)
    );
    assert_eq!(world.store.count(Records::Sessions), 700);
}

#[tokio::test(start_paused = true)]
async fn pause_grows_with_what_a_batch_takes() {
    let world = World::new();
    let mut store = steadfast_privacy::MockRetentionStore::new();
    let (mut batches, clock) = (0, world.clock.clone());
    store.expect_delete_batch().returning(move |_, _, limit| {
        batches += 1;
        // Each takes a second of the manual clock.
        clock.advance(Duration::from_secs(1));
        Ok(if batches < 5 { u64::from(limit) } else { 0 })
    });
    let policies = vec![RetentionPolicy::default_for(Records::Sessions)];
    let privacy = world.builder_over(Arc::new(store), world.log.clone());
    let privacy = privacy.policies(policies).build().unwrap();
    let began = world.clock.monotonic();
    privacy.cleanup(Trigger::Cli).await.unwrap();
    // Five batches, and four pauses of three times as long.
    let took = world.clock.monotonic() - began;
    assert_eq!(took, Duration::from_secs(5 + 4 * 3));
}

#[tokio::test(start_paused = true)]
async fn interrupted_cleanup_ends_in_good_order_and_the_next_goes_on() {
    let world = World::new();
    for _ in 0..2_000 {
        world.store.plant(Records::Sessions, world.days_ago(31));
    }
    let privacy = world.builder().pause(Duration::from_secs(3600));
    let privacy = privacy.build().unwrap();
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        privacy.interrupt();
    };
    let (run, ()) = tokio::join!(privacy.cleanup(Trigger::Api), interrupt);
    let error = run.unwrap_err().to_string();
    assert!(error.contains("interrupted"), "{error}");
    let stored = world.log_of().await;
    assert_eq!(stored[0].status, RunStatus::Failed);
    let next = world.privacy().cleanup(Trigger::Cli).await.unwrap();
    assert_eq!(next.status, RunStatus::Succeeded, "the lock was let go of");
    assert_eq!(world.store.count(Records::Sessions), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_follows_changes_and_hides_also_what_is_held() {
    let world = World::new();
    let snapshot = PolicySnapshot::default();
    let privacy = world.builder().snapshot(snapshot.clone()).build().unwrap();
    let now = Timestamp::try_from(world.clock.wall()).unwrap();
    let cutoff = || snapshot.cutoff(Records::Sessions, now);
    assert_eq!(cutoff(), Some(world.days_ago(30)));
    let held = PolicyPatch {
        legal_hold: Some(true),
        ..days(10)
    };
    change(&privacy, Records::Sessions, held, None)
        .await
        .unwrap();
    assert_eq!(cutoff(), Some(world.days_ago(10)));

    // Another process's change is seen by a refresh.
    let off = PolicyPatch {
        enabled: Some(false),
        ..PolicyPatch::default()
    };
    let elsewhere = world.privacy();
    change(&elsewhere, Records::Sessions, off, None)
        .await
        .unwrap();
    assert_eq!(cutoff(), Some(world.days_ago(10)));
    privacy.refresh().await.unwrap();
    assert_eq!(cutoff(), None);
}
