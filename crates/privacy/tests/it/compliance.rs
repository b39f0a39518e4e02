use std::{sync::Arc, time::Duration};

use steadfast_privacy::{
    Finding, MockRetentionStore, Operation, PortError, PrivacyError, Records, RetentionPolicy,
    RunStatus, Trigger,
};

use crate::World;

#[tokio::test(start_paused = true)]
async fn row_16_every_figure_is_measured_from_rows() {
    let world = World::new();
    let privacy = world.privacy();
    let before = privacy
        .compliance(Trigger::Schedule)
        .await
        .unwrap()
        .report
        .unwrap();
    assert_eq!(before.findings, [Finding::NoRecentCleanup { last: None }]);
    assert!(
        before
            .policies
            .iter()
            .all(|policy| policy.past_retention == Some(0))
    );

    // Sessions are kept for 30 days.
    let oldest = world.days_ago(40);
    for at in [oldest, world.days_ago(31), world.days_ago(29)] {
        world.store.plant(Records::Sessions, at);
    }
    let report = privacy
        .compliance(Trigger::Schedule)
        .await
        .unwrap()
        .report
        .unwrap();
    for policy in &report.policies {
        let expected = match policy.records {
            Records::Sessions => (Some(2), Some(oldest)),
            _ => (Some(0), None),
        };
        assert_eq!(
            (policy.past_retention, policy.oldest),
            expected,
            "{}",
            policy.records
        );
    }
    let overdue = Finding::Overdue {
        records: Records::Sessions,
        oldest,
    };
    assert!(report.findings.contains(&overdue), "{report:?}");

    let cleanup = privacy.cleanup(Trigger::Schedule).await.unwrap();
    let after = privacy
        .compliance(Trigger::Schedule)
        .await
        .unwrap()
        .report
        .unwrap();
    assert_eq!(after.findings, []);
    assert_eq!(after.last_cleanup, Some(cleanup.started_at));
    assert_eq!(privacy.latest_report().await.unwrap(), Some(after));
}

#[tokio::test(start_paused = true)]
async fn record_that_the_next_cleanup_deletes_is_counted_but_no_finding() {
    let world = World::new();
    let privacy = world.privacy();
    privacy.cleanup(Trigger::Schedule).await.unwrap();
    world.store.plant(Records::Sessions, world.days_ago(31));
    let report = privacy
        .compliance(Trigger::Cli)
        .await
        .unwrap()
        .report
        .unwrap();
    let sessions = report
        .policies
        .iter()
        .find(|policy| policy.records == Records::Sessions);
    assert_eq!(sessions.unwrap().past_retention, Some(1));
    assert_eq!(report.findings, []);
}

#[tokio::test(start_paused = true)]
async fn switched_off_policy_is_a_finding_and_a_hold_is_none() {
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
    let privacy = world.builder().policies(policies).build().unwrap();
    privacy.cleanup(Trigger::Schedule).await.unwrap();
    let report = privacy
        .compliance(Trigger::Schedule)
        .await
        .unwrap()
        .report
        .unwrap();
    assert_eq!(
        report.findings,
        [Finding::Disabled {
            records: Records::UserEvents
        }]
    );
    assert!(report.policies[0].legal_hold && report.policies[0].past_retention == Some(1));
}

#[tokio::test(start_paused = true)]
async fn cleanup_that_is_long_ago_is_a_finding() {
    let world = World::new();
    let privacy = world.privacy();
    let last = Some(privacy.cleanup(Trigger::Schedule).await.unwrap().started_at);
    world.clock.advance(Duration::from_secs(49 * 60 * 60));
    let report = privacy
        .compliance(Trigger::Schedule)
        .await
        .unwrap()
        .report
        .unwrap();
    assert_eq!(report.findings, [Finding::NoRecentCleanup { last }]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_measured_is_a_finding_and_a_failure() {
    let world = World::new();
    let mut store = MockRetentionStore::new();
    store
        .expect_count_expired()
        .returning(|records, _| match records {
            Records::Occurrences => Err(PortError::transient("down")),
            _ => Ok(0),
        });
    store.expect_oldest().returning(|_| Ok(None));
    let privacy = world
        .builder_over(Arc::new(store), world.log.clone())
        .build()
        .unwrap();
    let error = privacy.compliance(Trigger::Schedule).await.unwrap_err();
    let PrivacyError::Incomplete { run } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (run.operation, run.status),
        (Operation::Compliance, RunStatus::Failed)
    );
    let report = run.report.unwrap();
    let unmeasured = report
        .policies
        .iter()
        .filter(|policy| policy.past_retention.is_none());
    assert_eq!(
        unmeasured.map(|policy| policy.records).collect::<Vec<_>>(),
        [Records::Occurrences]
    );
    assert!(matches!(
        report.findings[0],
        Finding::NotMeasured {
            records: Records::Occurrences,
            ..
        }
    ));
    assert_eq!(privacy.latest_report().await.unwrap(), None);
}
