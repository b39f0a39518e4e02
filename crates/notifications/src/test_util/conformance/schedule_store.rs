use super::Examples;
use crate::{
    Dialect, IdSource, InsertOutcome, Misfire, PortError, RemoveOutcome, Schedule, ScheduleId,
    ScheduleStore, StoredSchedule, SyncMark, UpdateOutcome,
};

/// What every [`ScheduleStore`] must do.
///
/// # Errors
///
/// Those of the store.
///
/// # Panics
///
/// If the store does something else.
pub async fn schedules(store: &dyn ScheduleStore, ids: &dyn IdSource) -> Result<(), PortError> {
    let examples = Examples::new(ids);
    rows_come_back_as_they_were(store, &examples).await?;
    limit_counts_only_what_is_there(store, &examples).await?;
    lists_are_paged_by_id(store, &examples).await?;
    updates_compare_the_version(store, &examples).await?;
    rows_of_others_are_absent(store, &examples).await?;
    removal_leaves_a_tombstone(store, &examples).await?;
    changes_are_out_of_sync_until_marked(store, &examples).await
}

async fn rows_come_back_as_they_were(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let mut variant = examples.schedule(user);
    variant.dialect = Dialect::Quartz6;
    variant.misfire = Misfire::Skip;
    variant.enabled = false;
    variant.body = String::new();
    for schedule in [examples.schedule(user), variant] {
        assert_eq!(store.get(user, schedule.id).await?, None);
        assert_eq!(store.load(schedule.id).await?, None);
        assert_eq!(store.insert(&schedule, 10).await?, InsertOutcome::Inserted);
        assert!(
            store.insert(&schedule, 10).await.is_err(),
            "an id is used once"
        );
        assert_eq!(
            store.get(user, schedule.id).await?.as_ref(),
            Some(&schedule)
        );
        let loaded = store.load(schedule.id).await?;
        assert_eq!(loaded, Some(StoredSchedule::Live(schedule)));
    }
    Ok(())
}

async fn limit_counts_only_what_is_there(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let (one, two, three) = (
        examples.schedule(user),
        examples.schedule(user),
        examples.schedule(user),
    );
    assert_eq!(store.insert(&one, 2).await?, InsertOutcome::Inserted);
    assert_eq!(store.insert(&two, 2).await?, InsertOutcome::Inserted);
    assert_eq!(store.insert(&three, 2).await?, InsertOutcome::LimitReached);
    assert_eq!(store.get(user, three.id).await?, None);

    let other = examples.schedule(examples.user());
    assert_eq!(
        store.insert(&other, 2).await?,
        InsertOutcome::Inserted,
        "limits are per user"
    );
    assert_eq!(
        store.remove(user, one.id, None).await?,
        RemoveOutcome::Removed
    );
    assert_eq!(store.insert(&three, 2).await?, InsertOutcome::Inserted);
    Ok(())
}

async fn lists_are_paged_by_id(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let schedules: Vec<_> = (0..5).map(|_| examples.schedule(user)).collect();
    for schedule in schedules.iter().rev() {
        store.insert(schedule, 10).await?;
    }
    assert_eq!(store.list(user, None, 3).await?, schedules[..3]);
    assert_eq!(
        store.list(user, Some(schedules[2].id), 3).await?,
        schedules[3..]
    );
    assert_eq!(store.list(user, Some(schedules[4].id), 3).await?, []);
    assert_eq!(store.list(examples.user(), None, 3).await?, []);

    store.remove(user, schedules[1].id, None).await?;
    let left = [schedules[0].clone(), schedules[2].clone()];
    assert_eq!(store.list(user, None, 2).await?, left);
    Ok(())
}

async fn updates_compare_the_version(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let schedule = examples.schedule(examples.user());
    let changed = Schedule {
        version: 2,
        cron: "*/5 * * * *".into(),
        dialect: Dialect::Quartz6,
        tz: "UTC".into(),
        title: "Other".into(),
        body: "Text".into(),
        misfire: Misfire::Skip,
        enabled: false,
        updated_at: examples.at(60),
        ..schedule.clone()
    };
    assert_eq!(store.update(&changed, 1).await?, UpdateOutcome::Missing);
    store.insert(&schedule, 10).await?;
    assert_eq!(store.update(&changed, 1).await?, UpdateOutcome::Updated);
    assert_eq!(
        store.get(schedule.user_id, schedule.id).await?.as_ref(),
        Some(&changed)
    );

    assert_eq!(
        store.update(&changed, 1).await?,
        UpdateOutcome::Stale { actual: 2 }
    );
    let moved = Schedule {
        version: 3,
        created_at: examples.at(99),
        ..changed.clone()
    };
    assert_eq!(store.update(&moved, 2).await?, UpdateOutcome::Updated);
    let found = store.get(schedule.user_id, schedule.id).await?;
    let found = found.map(|found| (found.version, found.created_at));
    assert_eq!(
        found,
        Some((3, schedule.created_at)),
        "the date of creation stays"
    );
    Ok(())
}

async fn rows_of_others_are_absent(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let (owner, other) = (examples.user(), examples.user());
    let schedule = examples.schedule(owner);
    store.insert(&schedule, 10).await?;
    let stolen = Schedule {
        user_id: other,
        version: 2,
        ..schedule.clone()
    };
    assert_eq!(store.get(other, schedule.id).await?, None);
    assert_eq!(store.list(other, None, 10).await?, []);
    assert_eq!(store.update(&stolen, 1).await?, UpdateOutcome::Missing);
    assert_eq!(
        store.remove(other, schedule.id, None).await?,
        RemoveOutcome::Missing
    );
    assert_eq!(store.get(owner, schedule.id).await?, Some(schedule));
    Ok(())
}

async fn removal_leaves_a_tombstone(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let schedule = examples.schedule(examples.user());
    let (user, id) = (schedule.user_id, schedule.id);
    store.insert(&schedule, 10).await?;
    store.mark_synced(id, 1).await?;
    store.forget(id).await?;
    assert!(
        store.get(user, id).await?.is_some(),
        "what lives is not forgotten"
    );

    assert_eq!(
        store.remove(user, id, Some(7)).await?,
        RemoveOutcome::Stale { actual: 1 }
    );
    assert_eq!(
        store.remove(user, id, Some(1)).await?,
        RemoveOutcome::Removed
    );
    assert_eq!(store.remove(user, id, None).await?, RemoveOutcome::Missing);
    assert_eq!(store.get(user, id).await?, None);
    let changed = Schedule {
        version: 2,
        ..schedule
    };
    assert_eq!(store.update(&changed, 1).await?, UpdateOutcome::Missing);
    assert_eq!(store.load(id).await?, Some(StoredSchedule::Tombstone));
    assert!(all_out_of_sync(store).await?.contains(&id));
    assert_eq!(
        store.mark_synced(id, 2).await?,
        SyncMark::Changed,
        "a tombstone is never synced"
    );
    assert!(all_out_of_sync(store).await?.contains(&id));

    store.forget(id).await?;
    store.forget(id).await?;
    assert_eq!(store.load(id).await?, None);
    assert!(!all_out_of_sync(store).await?.contains(&id));
    Ok(())
}

async fn changes_are_out_of_sync_until_marked(
    store: &dyn ScheduleStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let schedule = examples.schedule(examples.user());
    let id = schedule.id;
    assert_eq!(
        store.mark_synced(id, 1).await?,
        SyncMark::Changed,
        "there is no row"
    );
    store.insert(&schedule, 10).await?;
    assert!(all_out_of_sync(store).await?.contains(&id));
    assert_eq!(store.mark_synced(id, 1).await?, SyncMark::Current);
    assert!(!all_out_of_sync(store).await?.contains(&id));

    let changed = Schedule {
        version: 2,
        ..schedule
    };
    store.update(&changed, 1).await?;
    assert!(all_out_of_sync(store).await?.contains(&id));
    assert_eq!(store.mark_synced(id, 2).await?, SyncMark::Current);
    assert_eq!(store.mark_synced(id, 1).await?, SyncMark::Changed);
    let behind = all_out_of_sync(store).await?;
    assert!(
        behind.contains(&id),
        "an old version may have overwritten the new one"
    );
    assert_eq!(store.mark_synced(id, 2).await?, SyncMark::Current);
    Ok(())
}

/// Pages through everything that is out of sync.
async fn all_out_of_sync(store: &dyn ScheduleStore) -> Result<Vec<ScheduleId>, PortError> {
    let mut found = Vec::new();
    loop {
        let page = store.out_of_sync(found.last().copied(), 2).await?;
        assert!(
            page.len() <= 2 && page.is_sorted(),
            "{page:?} is not a page of two"
        );
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}
