use std::{sync::Arc, time::Duration};

use serde_json::json;
use steadfast_notifications::{
    BuildError, ChannelKind, MockJobs, MockScheduleStore, NewSchedule, PageRequest, PortError,
    ScheduleError, SchedulePatch, Schedules,
};
use tokio::task::JoinSet;

use crate::{World, invalid_schedule, new_schedule, pointers};

#[tokio::test]
async fn created_schedule_is_stored_and_has_a_job() {
    let world = World::new();
    let created = world
        .schedules
        .create(world.user, new_schedule("0 9 * * 1-5"))
        .await
        .unwrap();
    assert_eq!((created.version, created.enabled), (1, true));
    assert_eq!(created.channels, [ChannelKind::Ws]);
    assert_eq!(
        world.schedules.get(world.user, created.id).await.unwrap(),
        created
    );
    assert_eq!(world.jobs.job(created.id), Some(created));
}

#[tokio::test]
async fn view_has_the_names_of_the_contract() {
    let world = World::new();
    let created = world
        .schedules
        .create(world.user, new_schedule("0 9 * * 1-5"))
        .await
        .unwrap();
    let view = serde_json::to_value(world.schedules.view(created.clone())).unwrap();
    let expected = json!({
        "id": created.id.to_string(), "version": 1, "user_id": world.user.to_string(),
        "cron": "0 9 * * 1-5", "dialect": "posix5", "tz": "Europe/Berlin",
        "title": "Stand-up", "body": "Bring news", "channels": ["ws"], "misfire": "once",
        "enabled": true, "created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z",
        "next_fires": [
            "2027-01-18T09:00:00+01:00", "2027-01-19T09:00:00+01:00", "2027-01-20T09:00:00+01:00",
            "2027-01-21T09:00:00+01:00", "2027-01-22T09:00:00+01:00",
        ],
    });
    let without_fractions = |mut view: serde_json::Value| {
        for field in ["created_at", "updated_at"] {
            let at = view[field].as_str().unwrap();
            view[field] = json!(format!("{}Z", &at[..19]));
        }
        view
    };
    assert_eq!(without_fractions(view), expected);
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let world = World::new();
    let bad = NewSchedule {
        tz: "Europe/Atlantis".into(),
        title: String::new(),
        body: "x".repeat(4_001),
        channels: vec!["ws".into(), "smoke".into()],
        ..new_schedule("0 25 * * *")
    };
    let invalid = invalid_schedule(world.schedules.create(world.user, bad).await);
    assert_eq!(
        pointers(&invalid),
        ["/cron", "/tz", "/title", "/body", "/channels/1"]
    );
    let cron = &invalid.errors[0].detail;
    assert!(
        cron.contains("hour") && cron.contains("25"),
        "{cron} does not point at the field"
    );
}

#[tokio::test]
async fn schedule_that_fires_too_often_is_refused() {
    let world = World::new();
    for (cron, dialect) in [("@every 59s", "posix5"), ("*/30 * * * * ?", "quartz6")] {
        let new = NewSchedule {
            dialect: json_enum(dialect),
            ..new_schedule(cron)
        };
        let invalid = invalid_schedule(world.schedules.create(world.user, new).await);
        assert_eq!(pointers(&invalid), ["/cron"]);
        assert!(invalid.errors[0].detail.contains("60s"), "{invalid}");
    }
    for cron in ["@every 60s", "* * * * *"] {
        world
            .schedules
            .create(world.user, new_schedule(cron))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn limit_of_schedules_holds_under_a_burst() {
    let world = World::new();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (schedules, user) = (world.schedules.clone(), world.user);
        tasks.spawn(async move { schedules.create(user, new_schedule("@daily")).await });
    }
    let outcomes = tasks.join_all().await;
    let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(created, 3);
    for outcome in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(outcome, ScheduleError::LimitReached { limit: 3 }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn lists_are_cut_into_pages() {
    let world = World::new();
    let mut created = Vec::new();
    for _ in 0..3 {
        created.push(
            world
                .schedules
                .create(world.user, new_schedule("@daily"))
                .await
                .unwrap(),
        );
    }
    let page = PageRequest {
        limit: 2,
        cursor: None,
    };
    let first = world.schedules.list(world.user, &page).await.unwrap();
    assert_eq!(first.items, created[..2]);
    let page = PageRequest {
        limit: 2,
        cursor: first.next,
    };
    let second = world.schedules.list(world.user, &page).await.unwrap();
    assert_eq!((second.items, second.next), (created[2..].to_vec(), None));

    let page = PageRequest {
        limit: 201,
        cursor: Some("nonsense".into()),
    };
    let invalid = invalid_schedule(world.schedules.list(world.user, &page).await);
    assert_eq!(pointers(&invalid), ["/limit", "/cursor"]);
}

#[tokio::test]
async fn schedule_of_another_user_is_not_found() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    let (schedules, other) = (&world.schedules, world.other);
    for outcome in [
        schedules.get(other, id).await.map(drop),
        schedules
            .update(other, id, &SchedulePatch::default(), None)
            .await
            .map(drop),
        schedules.delete(other, id, None).await,
        schedules.pause(other, id).await.map(drop),
        schedules.resume(other, id).await.map(drop),
        schedules.run_now(other, id).await,
    ] {
        assert!(
            matches!(outcome, Err(ScheduleError::Find { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(
        world.schedules.get(world.user, id).await.unwrap().version,
        1
    );
}

#[tokio::test]
async fn paused_schedule_has_no_job_and_no_next_fires() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    let paused = world.schedules.pause(world.user, id).await.unwrap();
    assert_eq!((paused.enabled, paused.version), (false, 2));
    assert_eq!(world.jobs.job(id), None);
    assert!(world.schedules.view(paused).next_fires.is_empty());
    let run = world.schedules.run_now(world.user, id).await;
    assert!(matches!(run, Err(ScheduleError::Paused { .. })), "{run:?}");

    let resumed = world.schedules.resume(world.user, id).await.unwrap();
    assert_eq!((resumed.enabled, resumed.version), (true, 3));
    assert!(world.jobs.job(id).is_some());
    world.schedules.run_now(world.user, id).await.unwrap();
    assert_eq!(world.jobs.ran(), [id]);
}

#[tokio::test]
async fn deleted_schedule_has_no_job() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    world.schedules.delete(world.user, id, None).await.unwrap();
    assert_eq!(world.jobs.job(id), None);
    let again = world.schedules.delete(world.user, id, None).await;
    assert!(
        matches!(again, Err(ScheduleError::Find { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn row_12_sunday_is_sunday() {
    let world = World::new();
    for (cron, dialect) in [
        ("0 9 * * 0", "posix5"),
        ("0 9 * * 7", "posix5"),
        ("0 0 9 ? * 1", "quartz6"),
    ] {
        let new = NewSchedule {
            dialect: json_enum(dialect),
            ..new_schedule(cron)
        };
        let created = world.schedules.create(world.user, new).await.unwrap();
        for fire in world.schedules.view(created).next_fires {
            assert_eq!(
                fire.weekday(),
                jiff::civil::Weekday::Sunday,
                "{cron} fires at {fire}"
            );
        }
    }
}

#[tokio::test]
async fn failing_store_is_named_with_its_cause() {
    let world = World::new();
    let mut store = MockScheduleStore::new();
    store
        .expect_insert()
        .times(1)
        .returning(|_, _| Err(PortError::transient("disk on fire")));
    // Without expectations, any call of the scheduler would panic.
    let schedules = Schedules::builder(
        Arc::new(store),
        Arc::new(MockJobs::new()),
        world.ids.clone(),
    );
    let created = schedules
        .build()
        .unwrap()
        .create(world.user, new_schedule("@daily"))
        .await;
    let error = created.unwrap_err();
    assert_eq!(error.to_string(), "could not create a schedule");
    let ScheduleError::Store { source, .. } = error else {
        panic!("{error:?}")
    };
    assert!(source.is_transient());
    let cause = std::error::Error::source(&source).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("disk on fire"));
}

#[tokio::test]
async fn builder_names_the_field_at_fault() {
    let world = World::new();
    let builder = || Schedules::builder(world.store.clone(), world.jobs.clone(), world.ids.clone());
    let field = |built: Result<_, BuildError>| built.map(drop).unwrap_err().field;
    assert_eq!(
        field(builder().min_interval(Duration::ZERO).build()),
        "min_interval"
    );
    assert_eq!(field(builder().max_per_user(0).build()), "max_per_user");
}

fn json_enum<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(json!(name)).unwrap()
}
