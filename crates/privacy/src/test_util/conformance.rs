//! What every store must do. Each function panics at the first thing that is not so.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    ChangedBy, ComplianceReport, Finding, Operation, PolicyChange, PolicyOutcome, PolicyStatus,
    PolicyStore, PortError, Records, RetentionPolicy, RetentionStore, Run, RunId, RunLog,
    RunStatus, Trigger,
};

/// What every [`RetentionStore`] must do; `plant` adds one record of a kind and a time.
///
/// The store must be empty.
///
/// # Errors
///
/// Those of the store.
///
/// # Panics
///
/// If the store does something else.
pub async fn retention(
    store: &dyn RetentionStore,
    plant: impl AsyncFn(Records, Timestamp),
) -> Result<(), PortError> {
    for records in Records::ALL {
        assert_eq!(store.oldest(records).await?, None, "{records}");
        assert_eq!(
            store.count_expired(records, Timestamp::MAX).await?,
            0,
            "{records}"
        );
        assert_eq!(
            store.delete_batch(records, Timestamp::MAX, 9).await?,
            0,
            "{records}"
        );
        for seconds in [30, 10, 20, 40] {
            plant(records, at(seconds)).await;
        }
    }
    for records in Records::ALL {
        assert_eq!(store.oldest(records).await?, Some(at(10)), "{records}");
        assert_eq!(
            store.count_expired(records, at(30)).await?,
            2,
            "{records}: not the edge"
        );
        assert_eq!(
            store.delete_batch(records, at(30), 1).await?,
            1,
            "{records}"
        );
        assert_eq!(
            store.oldest(records).await?,
            Some(at(20)),
            "{records}: the oldest first"
        );
        assert_eq!(
            store.delete_batch(records, at(31), 9).await?,
            2,
            "{records}"
        );
        assert_eq!(
            store.delete_batch(records, at(31), 9).await?,
            0,
            "{records}"
        );
        let left = store.count_expired(records, Timestamp::MAX).await?;
        assert_eq!(
            (left, store.oldest(records).await?),
            (1, Some(at(40))),
            "{records}"
        );
    }
    Ok(())
}

/// What every [`PolicyStore`] must do.
///
/// The store must be empty.
///
/// # Errors
///
/// Those of the store.
///
/// # Panics
///
/// If the store does something else.
pub async fn policy_store(store: &dyn PolicyStore) -> Result<(), PortError> {
    assert_eq!(store.load().await?, []);
    let before = RetentionPolicy::default_for(Records::Sessions);
    let after = RetentionPolicy {
        days: 31,
        legal_hold: true,
        enabled: false,
        reason: Some("case \"12\"".to_owned()),
        version: before.version + 1,
        updated_at: Some(at(1)),
        ..before.clone()
    };
    let by = ChangedBy::default();
    let first = PolicyChange { before, after, by };
    assert!(store.store(&first).await?);
    assert_eq!(store.load().await?, std::slice::from_ref(&first.after));
    assert!(!store.store(&first).await?, "its version is gone");
    let next = |before: &RetentionPolicy, days| PolicyChange {
        before: before.clone(),
        after: RetentionPolicy {
            days,
            reason: None,
            version: before.version + 1,
            updated_at: Some(at(2)),
            ..before.clone()
        },
        by: ChangedBy {
            user: Some(Uuid::from_u128(7)),
            address: Some([127, 0, 0, 1].into()),
            request: Some(Uuid::from_u128(8)),
        },
    };
    let second = next(&first.after, 60);
    assert!(store.store(&second).await?);
    assert!(!store.store(&next(&first.after, 61)).await?);
    let other = next(&RetentionPolicy::default_for(Records::UserEvents), 9);
    assert!(store.store(&other).await?);
    let mut found = store.load().await?;
    found.sort_unstable_by_key(|policy| policy.days);
    assert_eq!(found, [other.after, second.after]);
    Ok(())
}

/// What every [`RunLog`] must do.
///
/// The log must be empty.
///
/// # Errors
///
/// Those of the log.
///
/// # Panics
///
/// If the log does something else.
pub async fn run_log(log: &dyn RunLog) -> Result<(), PortError> {
    runs_come_back_as_they_were(log).await?;
    run_that_never_ended_is_failed_by_the_next(log).await?;
    lists_are_paged_from_the_newest(log).await
}

async fn runs_come_back_as_they_were(log: &dyn RunLog) -> Result<(), PortError> {
    assert_eq!(log.last_success(Operation::Cleanup).await?, None);
    assert_eq!(log.list(None, None, 9).await?, []);

    let mut cleanup = run(1, Operation::Cleanup, Trigger::Schedule);
    log.begin(&cleanup).await?;
    assert!(log.begin(&cleanup).await.is_err(), "an id is used once");
    assert_eq!(log.list(None, None, 9).await?, [cleanup.clone()]);
    let failed = Some("disk on fire".to_owned());
    for (records, status, error) in [
        (Records::UserEvents, PolicyStatus::Succeeded, None),
        (Records::ReadNotifications, PolicyStatus::Failed, failed),
        (Records::Sessions, PolicyStatus::Held, None),
        (Records::Occurrences, PolicyStatus::Disabled, None),
    ] {
        let outcome = PolicyOutcome {
            records,
            status,
            cutoff: at(-90),
            deleted: 7,
            error,
        };
        log.record(cleanup.id, &outcome).await?;
        cleanup.policies.push(outcome);
        assert_eq!(
            log.list(None, None, 9).await?,
            [cleanup.clone()],
            "at once, and in order"
        );
    }
    cleanup.status = RunStatus::Failed;
    cleanup.error = Some("lost its \"lease\"".to_owned());
    cleanup.finished_at = Some(at(60));
    log.finish(&cleanup).await?;
    assert_eq!(log.find(cleanup.id).await?, Some(cleanup.clone()));
    assert_eq!(log.find(id(9)).await?, None);
    assert_eq!(log.list(None, None, 9).await?, [cleanup]);
    assert_eq!(
        log.last_success(Operation::Cleanup).await?,
        None,
        "it failed"
    );

    let mut compliance = run(2, Operation::Compliance, Trigger::Api);
    log.begin(&compliance).await?;
    compliance.status = RunStatus::Succeeded;
    compliance.finished_at = Some(at(70));
    compliance.report = Some(ComplianceReport {
        measured_at: at(2),
        last_cleanup: None,
        overdue_erasures: Some(0),
        policies: Vec::new(),
        findings: vec![Finding::Disabled {
            records: Records::Sessions,
        }],
    });
    log.finish(&compliance).await?;
    assert_eq!(
        log.last_success(Operation::Cleanup).await?,
        None,
        "of another operation"
    );
    assert_eq!(
        log.last_success(Operation::Compliance).await?,
        Some(compliance)
    );
    Ok(())
}

async fn run_that_never_ended_is_failed_by_the_next(log: &dyn RunLog) -> Result<(), PortError> {
    let died = run(10, Operation::Cleanup, Trigger::Cli);
    log.begin(&died).await?;
    let mut skipped = run(11, Operation::Cleanup, Trigger::Api);
    skipped.status = RunStatus::Skipped;
    skipped.finished_at = Some(skipped.started_at);
    log.begin(&skipped).await?;
    log.begin(&run(12, Operation::Compliance, Trigger::Cli))
        .await?;
    let found = log.list(Some(Operation::Cleanup), None, 2).await?;
    assert_eq!(
        found,
        [skipped.clone(), died.clone()],
        "none of these holds the lock of cleanup"
    );

    let next = run(13, Operation::Cleanup, Trigger::Schedule);
    log.begin(&next).await?;
    let found = log.list(Some(Operation::Cleanup), None, 3).await?;
    assert_eq!(found[..2], [next, skipped]);
    let ended = (found[2].id, found[2].status, found[2].finished_at);
    assert_eq!(ended, (died.id, RunStatus::Failed, Some(at(13))));
    assert!(found[2].error.is_some());

    assert_eq!(log.fail_unfinished(Operation::Cleanup, at(14)).await?, 1);
    assert_eq!(log.fail_unfinished(Operation::Cleanup, at(15)).await?, 0);
    let found = log.list(None, Some(id(14)), 2).await?;
    let ended = (found[0].id, found[0].status, found[0].finished_at);
    assert_eq!(ended, (id(13), RunStatus::Failed, Some(at(14))));
    let other = (found[1].id, found[1].status);
    assert_eq!(other, (id(12), RunStatus::Running), "another operation");
    Ok(())
}

async fn lists_are_paged_from_the_newest(log: &dyn RunLog) -> Result<(), PortError> {
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(
        ids(log.list(None, None, 3).await?),
        [id(13), id(12), id(11)]
    );
    assert_eq!(ids(log.list(None, Some(id(11)), 2).await?), [id(10), id(2)]);
    assert_eq!(ids(log.list(None, Some(id(2)), 2).await?), [id(1)]);
    let compliance = Some(Operation::Compliance);
    assert_eq!(ids(log.list(compliance, Some(id(12)), 9).await?), [id(2)]);
    Ok(())
}

/// A cleanup that succeeded at a time.
#[must_use]
pub fn succeeded_run(at: Timestamp) -> Run {
    Run {
        started_at: at,
        finished_at: Some(at),
        status: RunStatus::Succeeded,
        ..run(99, Operation::Cleanup, Trigger::Schedule)
    }
}

fn run(number: u64, operation: Operation, trigger: Trigger) -> Run {
    Run {
        id: id(number),
        operation,
        trigger,
        started_at: at(i64::try_from(number).unwrap_or(i64::MAX)),
        finished_at: None,
        status: RunStatus::Running,
        error: None,
        policies: Vec::new(),
        report: None,
    }
}

fn id(number: u64) -> RunId {
    RunId::new(Uuid::from_u128(u128::from(number)))
}

/// A time with microseconds, some seconds after an arbitrary one.
fn at(seconds: i64) -> Timestamp {
    let origin = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap_or_default();
    origin + SignedDuration::from_secs(seconds)
}
