use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use steadfast_notifications::{
    Invalid, MockPreferenceStore, NewPreferences, Preferences, PreferencesError, PreferencesPatch,
    PutOutcome, UserPreferences,
};
use tokio::task::JoinSet;

use crate::{World, pointers};

fn new(value: Value) -> NewPreferences {
    serde_json::from_value(value).unwrap()
}

fn patch(value: Value) -> PreferencesPatch {
    serde_json::from_value(value).unwrap()
}

fn full() -> Value {
    json!({
        "tz": "Europe/Berlin",
        "quiet_hours": {"from": "22:00", "to": "07:00", "days": ["fri", "sat"]},
        "digest": {"at": ["08:00", "18:00"]},
        "channels": ["ws"],
    })
}

fn service(world: &World) -> UserPreferences {
    UserPreferences::new(world.store.clone()).with_clock(world.clock.clone())
}

#[tokio::test]
async fn who_set_none_has_the_default() {
    let world = World::new();
    let preferences = service(&world).get(world.user).await.unwrap();
    assert_eq!(preferences, Preferences::unset());
    assert_eq!((preferences.version, preferences.updated_at), (1, None));
}

#[tokio::test(start_paused = true)]
async fn replaced_preferences_are_those_that_were_sent_and_no_others() {
    let world = World::new();
    let service = service(&world);
    let set = service
        .replace(world.user, &new(full()), None)
        .await
        .unwrap();
    let mut expected = full();
    expected["version"] = json!(2);
    expected["updated_at"] = json!("2027-01-15T08:00:00Z");
    assert_eq!(serde_json::to_value(&set).unwrap(), expected);
    assert_eq!(service.get(world.user).await.unwrap(), set);
    let other = service.get(world.other).await.unwrap();
    assert_eq!(other, Preferences::unset());

    let bare = service.replace(world.user, &new(json!({})), None).await;
    let bare = bare.unwrap();
    assert_eq!(
        (bare.version, bare.quiet_hours, bare.digest),
        (3, None, None)
    );
    assert_eq!(bare.tz, "UTC");
    let daily = new(json!({"quiet_hours": {"from": "22:00", "to": "07:00"}}));
    let daily = service.replace(world.user, &daily, None).await.unwrap();
    assert_eq!(daily.quiet_hours.unwrap().days.len(), 7);
}

#[tokio::test]
async fn patch_changes_what_it_names_and_null_ends() {
    let world = World::new();
    let service = service(&world);
    let set = service
        .replace(world.user, &new(full()), None)
        .await
        .unwrap();
    let change = async |value| {
        service
            .update(world.user, &patch(value), None)
            .await
            .unwrap()
    };
    let moved = change(json!({"tz": "Asia/Tokyo"})).await;
    assert_eq!((&*moved.tz, moved.version), ("Asia/Tokyo", 3));
    assert_eq!(
        (&moved.quiet_hours, &moved.digest),
        (&set.quiet_hours, &set.digest)
    );
    let loud = change(json!({"quiet_hours": null})).await;
    assert_eq!((&loud.quiet_hours, &loud.digest), (&None, &set.digest));
    let single = change(json!({"digest": null})).await;
    assert_eq!((single.digest, single.version), (None, 5));
}

#[tokio::test]
async fn every_field_at_fault_is_named_and_nothing_is_stored() {
    let world = World::new();
    let service = service(&world);
    let bad = json!({
        "tz": "Mars/Base",
        "quiet_hours": {"from": "25:00", "to": "7:00", "days": ["mon", "Tue", "mon"]},
        "digest": {"at": ["08:00", "8", "08:00", "24:00", "09:00", "10:00", "11:00"]},
        "channels": ["ws", "pigeon"],
    });
    let expected = [
        "/tz",
        "/quiet_hours/from",
        "/quiet_hours/to",
        "/quiet_hours/days/1",
        "/quiet_hours/days/2",
        "/digest/at",
        "/digest/at/1",
        "/digest/at/2",
        "/digest/at/3",
        "/channels/1",
    ];
    let refused = service.replace(world.user, &new(bad.clone()), None).await;
    assert_eq!(pointers(&invalid(refused)), expected);
    let refused = service.update(world.user, &patch(bad), None).await;
    assert_eq!(pointers(&invalid(refused)), expected);
    for (bad, pointer) in [
        (
            json!({"quiet_hours": {"from": "22:00", "to": "22:00"}}),
            "/quiet_hours/to",
        ),
        (
            json!({"quiet_hours": {"from": "22:00", "to": "07:00", "days": []}}),
            "/quiet_hours/days",
        ),
        (json!({"digest": {"at": []}}), "/digest/at"),
        (json!({"channels": []}), "/channels"),
        (json!({"tz": "UTC\u{0}"}), "/tz"),
    ] {
        let refused = service.replace(world.user, &new(bad), None).await;
        assert_eq!(pointers(&invalid(refused)), [pointer]);
    }
    let stored = service.get(world.user).await.unwrap();
    assert_eq!(stored, Preferences::unset());
}

#[tokio::test]
async fn stale_version_is_refused() {
    let world = World::new();
    let service = service(&world);
    let first = service.replace(world.user, &new(full()), Some(1)).await;
    assert_eq!(first.unwrap().version, 2);
    for expected in [0, 1, 3] {
        let tokyo = patch(json!({"tz": "Asia/Tokyo"}));
        match service.update(world.user, &tokyo, Some(expected)).await {
            Err(PreferencesError::VersionMismatch { actual: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(service.get(world.user).await.unwrap().tz, "Europe/Berlin");
}

#[tokio::test]
async fn concurrent_changes_are_all_applied() {
    let world = World::new();
    let service = Arc::new(service(&world));
    let mut changing = JoinSet::new();
    for n in 0..64 {
        let (service, user) = (service.clone(), world.user);
        let change = match n % 2 {
            0 => json!({"tz": "Asia/Tokyo"}),
            _ => json!({"digest": {"at": ["08:00"]}}),
        };
        changing.spawn(async move { service.update(user, &patch(change), None).await.unwrap() });
    }
    let mut versions: Vec<_> = changing.join_all().await;
    versions.sort_unstable_by_key(|changed| changed.version);
    assert!(versions.iter().map(|changed| changed.version).eq(2..=65));
    let last = service.get(world.user).await.unwrap();
    assert_eq!((&*last.tz, last.digest.is_some()), ("Asia/Tokyo", true));
}

#[tokio::test]
async fn change_by_another_process_in_between_is_built_upon_and_not_lost() {
    let world = World::new();
    let stored = Arc::new(Mutex::new(Preferences::unset()));
    let mut store = MockPreferenceStore::new();
    let read = stored.clone();
    store
        .expect_get()
        .returning(move |_| Ok(Some(read.lock().unwrap().clone())));
    let mut is_first = true;
    store
        .expect_put()
        .times(2)
        .returning(move |_, put, expected| {
            let mut stored = stored.lock().unwrap();
            if std::mem::take(&mut is_first) {
                stored.tz = "Asia/Tokyo".into();
                stored.version += 1;
                return Ok(PutOutcome::Stale);
            }
            assert_eq!(stored.version, expected);
            *stored = put.clone();
            Ok(PutOutcome::Stored)
        });
    let service = UserPreferences::new(Arc::new(store));
    let change = patch(json!({"digest": {"at": ["08:00"]}}));
    let changed = service.update(world.user, &change, None).await.unwrap();
    assert_eq!((&*changed.tz, changed.version), ("Asia/Tokyo", 3));
    assert!(changed.digest.is_some());
}

fn invalid<T: std::fmt::Debug>(outcome: Result<T, PreferencesError>) -> Invalid {
    match outcome {
        Err(PreferencesError::Validate(invalid)) => invalid,
        other => panic!("{other:?} does not name fields"),
    }
}
