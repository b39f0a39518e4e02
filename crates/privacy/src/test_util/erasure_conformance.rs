//! What every store of requests for erasure must do. Each function panics at the first thing that
//! is not so.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    Erasure, ErasureId, ErasureStatus, ErasureStore, PersonalData, PortError, Receipt, Tombstone,
    TombstoneLog,
};

/// What every [`ErasureStore`] must do.
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
pub async fn erasures(store: &dyn ErasureStore) -> Result<(), PortError> {
    user_has_one_open_request(store).await?;
    due_ones_come_oldest_first(store).await?;
    life_of_a_request(store).await?;
    lists_are_paged_from_the_newest(store).await
}

/// What every [`PersonalData`] must do, with what [`ErasureStore`] counts for it; `plant` gives the
/// user at least one row in each of the tables.
///
/// # Errors
///
/// Those of the stores.
///
/// # Panics
///
/// If the stores do something else.
pub async fn personal_data(
    store: &dyn ErasureStore,
    data: &dyn PersonalData,
    [user, other]: [Uuid; 2],
    plant: impl AsyncFn(Uuid),
) -> Result<(), PortError> {
    plant(user).await;
    plant(other).await;
    let request = erasure(90, user, ErasureStatus::Running);
    store.insert(&request, None).await?;
    data.cancel_schedules(user).await?;
    let mut erased = Vec::new();
    for table in data.tables() {
        let before = data.count(user, table).await?;
        assert!(before > 0, "{table}: something was planted");
        let mut rows = 0;
        loop {
            let batch = data.erase_batch(request.id, user, table, 1).await?;
            assert!(batch <= 1, "{table}: {batch} in a batch of 1");
            if batch == 0 {
                break;
            }
            rows += batch;
        }
        assert_eq!(rows, before, "{table}: what was counted is what goes");
        assert_eq!(data.count(user, table).await?, 0, "{table}");
        erased.push((table.to_owned(), rows));
    }
    for table in data.tables() {
        assert_eq!(data.count(user, table).await?, 0, "{table}: it came back");
        assert!(
            data.count(other, table).await? > 0,
            "{table}: of another user"
        );
    }
    let receipt = store.complete(&tombstone(&request, 99)).await?;
    erased.sort();
    let tables = receipt.tables.into_iter();
    let tables: Vec<_> = tables.map(|erased| (erased.table, erased.rows)).collect();
    assert_eq!(tables, erased, "the receipt counts every row");
    Ok(())
}

/// What every [`TombstoneLog`] must do.
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
pub async fn tombstone_log(log: &dyn TombstoneLog) -> Result<(), PortError> {
    assert_eq!(log.read().await?, []);
    let first = tombstone(&erasure(1, user(1), ErasureStatus::Running), 5);
    let second = tombstone(&erasure(2, user(2), ErasureStatus::Running), 6);
    log.append(&first).await?;
    log.append(&second).await?;
    log.append(&first).await?;
    let mut read = log.read().await?;
    read.sort_by_key(|tombstone| tombstone.user_id);
    assert_eq!(read, [first, second]);
    Ok(())
}

async fn user_has_one_open_request(store: &dyn ErasureStore) -> Result<(), PortError> {
    assert_eq!(store.list(None, None, 9).await?, []);
    let first = erasure(1, user(1), ErasureStatus::Pending);
    assert_eq!(store.insert(&first, Some([1; 32])).await?, None);
    let second = erasure(2, user(1), ErasureStatus::Pending);
    assert_eq!(
        store.insert(&second, Some([2; 32])).await?,
        Some(first.clone())
    );
    assert_eq!(store.get(first.id).await?, Some(first.clone()));
    assert_eq!(store.get(second.id).await?, None, "nothing was added");
    assert_eq!(store.by_code([1; 32]).await?, Some(first.clone()));
    assert_eq!(store.by_code([2; 32]).await?, None);

    assert!(store.cancel(first.id, at(3)).await?);
    assert!(!store.cancel(first.id, at(4)).await?, "it is over");
    assert!(!store.begin(first.id).await?, "it is over");
    let cancelled = Erasure {
        status: ErasureStatus::Cancelled,
        finished_at: Some(at(3)),
        ..first
    };
    assert_eq!(store.get(cancelled.id).await?, Some(cancelled));
    assert_eq!(
        store.insert(&second, None).await?,
        None,
        "none is open any more"
    );
    Ok(())
}

async fn due_ones_come_oldest_first(store: &dyn ErasureStore) -> Result<(), PortError> {
    let third = erasure(3, user(3), ErasureStatus::Pending);
    store.insert(&third, None).await?;
    let ids = |found: Vec<Erasure>| found.into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(store.due(at(101), None, 9).await?), []);
    assert_eq!(ids(store.due(at(102), None, 9).await?), [id(2)]);
    assert_eq!(ids(store.due(at(103), None, 9).await?), [id(2), id(3)]);
    assert_eq!(ids(store.due(at(103), None, 1).await?), [id(2)]);
    assert_eq!(ids(store.due(at(103), Some(id(2)), 9).await?), [id(3)]);
    assert_eq!(store.count_overdue(at(103)).await?, 1);
    assert_eq!(store.count_overdue(at(104)).await?, 2);
    Ok(())
}

async fn life_of_a_request(store: &dyn ErasureStore) -> Result<(), PortError> {
    let request = erasure(2, user(1), ErasureStatus::Pending);
    let grave = tombstone(&request, 7);
    assert!(store.complete(&grave).await.is_err(), "it has not begun");
    assert_eq!(store.without_tombstone(&[user(1)]).await?, [user(1)]);
    assert!(store.begin(request.id).await?);
    assert!(!store.cancel(request.id, at(4)).await?, "it has begun");
    store.fail(request.id, "disk on \"fire\"").await?;
    let failed = Erasure {
        status: ErasureStatus::Failed,
        error: Some("disk on \"fire\"".to_owned()),
        ..request.clone()
    };
    assert_eq!(store.get(request.id).await?, Some(failed.clone()));
    let again = erasure(4, user(1), ErasureStatus::Running);
    let open = store.insert(&again, None).await?;
    assert_eq!(open, Some(failed), "a failed one is open");
    assert!(store.begin(request.id).await?, "it is tried again");
    assert!(store.begin(request.id).await?, "also after a crash");

    let receipt = store.complete(&grave).await?;
    let expected = Receipt {
        request_id: request.id,
        user_id: user(1),
        requested_at: request.requested_at,
        finished_at: at(7),
        tables: Vec::new(),
    };
    assert_eq!(receipt, expected);
    let later = Tombstone {
        erased_at: at(8),
        ..grave
    };
    assert_eq!(store.complete(&later).await?, expected, "it stays");
    let completed = Erasure {
        status: ErasureStatus::Completed,
        finished_at: Some(at(7)),
        receipt: Some(expected),
        ..request
    };
    assert_eq!(store.get(completed.id).await?, Some(completed.clone()));
    store.fail(completed.id, "too late").await?;
    assert_eq!(store.get(completed.id).await?, Some(completed.clone()));
    assert!(!store.begin(completed.id).await?);
    assert_eq!(
        store.without_tombstone(&[user(1), user(3)]).await?,
        [user(3)]
    );
    let since = async |at, after| store.completed_since(at, after, 9).await;
    assert_eq!(since(at(7), None).await?, [completed]);
    assert_eq!(since(at(8), None).await?, []);
    assert_eq!(since(at(7), Some(id(2))).await?, []);
    Ok(())
}

async fn lists_are_paged_from_the_newest(store: &dyn ErasureStore) -> Result<(), PortError> {
    let ids = |found: Vec<Erasure>| found.into_iter().map(|it| it.id).collect::<Vec<_>>();
    let list = async |user, before, limit| store.list(user, before, limit).await;
    assert_eq!(ids(list(None, None, 2).await?), [id(3), id(2)]);
    assert_eq!(ids(list(None, Some(id(2)), 2).await?), [id(1)]);
    assert_eq!(ids(list(Some(user(1)), None, 9).await?), [id(2), id(1)]);
    assert_eq!(ids(list(Some(user(1)), Some(id(2)), 9).await?), [id(1)]);
    Ok(())
}

fn erasure(number: u64, user_id: Uuid, status: ErasureStatus) -> Erasure {
    let seconds = i64::try_from(number).unwrap_or(i64::MAX);
    Erasure {
        id: id(number),
        user_id,
        requested_at: at(seconds),
        due_at: at(100 + seconds),
        status,
        finished_at: None,
        error: None,
        receipt: None,
    }
}

fn tombstone(erasure: &Erasure, seconds: i64) -> Tombstone {
    Tombstone {
        user_id: erasure.user_id,
        request_id: erasure.id,
        erased_at: at(seconds),
    }
}

fn id(number: u64) -> ErasureId {
    ErasureId::new(Uuid::from_u128(u128::from(number)))
}

fn user(number: u64) -> Uuid {
    Uuid::from_u128(1_000 + u128::from(number))
}

/// A time with microseconds, some seconds after an arbitrary one.
fn at(seconds: i64) -> Timestamp {
    let origin = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap_or_default();
    origin + SignedDuration::from_secs(seconds)
}
