//! Placeholders in the titles and texts of schedules.

use serde_json::json;
use steadfast_notifications::{
    FireOutcome, NewSchedule, Notification, PreviewRequest, Schedule, SchedulePatch,
    ScheduleStore as _,
};

use crate::{World, invalid_schedule, new_schedule, pointers};

fn templated(title: &str, body: &str) -> NewSchedule {
    NewSchedule {
        title: title.into(),
        body: body.into(),
        ..new_schedule("0 9 * * *")
    }
}

async fn fired(world: &World, schedule: &Schedule, at: &str) -> Notification {
    let fired = world
        .notifications
        .fire(schedule, at.parse().unwrap())
        .await;
    match fired.unwrap() {
        FireOutcome::Stored(stored) => stored,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_fire_fills_in_its_own_time_on_the_schedules_clock() {
    let world = World::new();
    let new = templated(
        "{{weekday}} {{time}}",
        "{{ {{ }}{{scheduled_for}}, {{schedule_id}}",
    );
    let schedule = world.schedules.create(world.user, new).await.unwrap();
    assert_eq!(
        schedule.title, "{{weekday}} {{time}}",
        "it is kept as it was written"
    );
    for (at, title, local) in [
        (
            "2027-03-27T08:00:00Z",
            "Saturday 09:00",
            "2027-03-27T09:00:00+01:00",
        ),
        (
            "2027-03-28T07:00:00Z",
            "Sunday 09:00",
            "2027-03-28T09:00:00+02:00",
        ),
    ] {
        let stored = fired(&world, &schedule, at).await;
        let body = format!("{{{{{local}, {}", schedule.id);
        assert_eq!((&*stored.title, &*stored.body), (title, &*body));
    }
}

#[tokio::test]
async fn text_without_placeholders_is_stored_byte_by_byte() {
    let world = World::new();
    let (title, body) = ("50 % } {x} }} \u{2028}", "  {a:\n{b}}\r\n☕ ");
    let new = templated(title, body);
    let schedule = world.schedules.create(world.user, new).await.unwrap();
    let stored = fired(&world, &schedule, "2027-03-27T08:00:00Z").await;
    assert_eq!((&*stored.title, &*stored.body), (title, body));
}

#[tokio::test]
async fn template_that_cannot_be_filled_in_is_refused_and_nothing_is_stored() {
    let world = World::new();
    let bad = [
        ("{{", "", "/title"),
        ("{{ day }}", "", "/title"),
        ("t", "{{date}} {{", "/body"),
        ("t", "{{ date | upper }}", "/body"),
    ];
    let long = format!("{}{{{{scheduled_for}}}}", "x".repeat(183));
    let longer = format!("{}{{{{weekday}}}}{{{{tz}}}}", "x".repeat(183));
    let too_long = [(long.as_str(), "", "/title"), (&longer, "", "/title")];
    for (title, body, pointer) in bad.into_iter().chain(too_long) {
        let refused = world
            .schedules
            .create(world.user, templated(title, body))
            .await;
        assert_eq!(
            pointers(&invalid_schedule(refused)),
            [pointer],
            "{title} {body}"
        );
    }
    let both = world
        .schedules
        .create(world.user, templated("{{", "{{x}}"))
        .await;
    assert_eq!(pointers(&invalid_schedule(both)), ["/title", "/body"]);
    assert_eq!(world.store.list(world.user, None, 9).await.unwrap(), []);

    let schedule = world
        .schedules
        .create(world.user, templated("t", "b"))
        .await
        .unwrap();
    let patch = SchedulePatch {
        body: Some("{{ nonsense }}".into()),
        ..SchedulePatch::default()
    };
    let refused = world
        .schedules
        .update(world.user, schedule.id, &patch, None)
        .await;
    assert_eq!(pointers(&invalid_schedule(refused)), ["/body"]);
    let stored = world.schedules.get(world.user, schedule.id).await.unwrap();
    assert_eq!(stored, schedule);
}

#[tokio::test]
async fn template_of_another_version_is_stored_as_it_was_written_and_not_lost() {
    let world = World::new();
    let schedule = world
        .schedules
        .create(world.user, templated("t", "b"))
        .await
        .unwrap();
    let another = |title: &str, body: &str, tz: &str| Schedule {
        title: title.into(),
        body: body.into(),
        tz: tz.into(),
        ..schedule.clone()
    };
    let long = format!("{}{{{{tz}}}}", "x".repeat(194));
    for (n, (title, body, tz)) in [
        ("{{ later }}", "{{ unclosed", "UTC"),
        ("{{date}}", "b", "Mars/Base"),
        (&long, "b", "Europe/Berlin"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = format!("2027-03-27T08:00:0{n}Z");
        let stored = fired(&world, &another(title, body, tz), &at).await;
        assert_eq!((&*stored.title, &*stored.body), (title, body));
    }
    let half = another("{{ later }}", "{{date}}", "UTC");
    let stored = fired(&world, &half, "2027-03-27T09:00:00Z").await;
    assert_eq!(
        (&*stored.title, &*stored.body),
        ("{{ later }}", "2027-03-27")
    );
}

#[tokio::test]
async fn preview_shows_the_first_notification() {
    let world = World::new();
    let mut request = json!({
        "cron": "0 9 * * *", "tz": "Europe/Berlin", "from": "2027-03-27T12:00:00Z", "count": 1,
        "title": "{{weekday}}", "body": "{{scheduled_for}}",
    });
    let preview = |request: &serde_json::Value| {
        let request: PreviewRequest = serde_json::from_value(request.clone()).unwrap();
        world.schedules.preview(&request)
    };
    let shown = serde_json::to_value(preview(&request).unwrap()).unwrap();
    assert_eq!(shown["title"], "Sunday");
    assert_eq!(shown["body"], shown["next_fires"][0]);
    request["title"] = json!("{{");
    request["body"] = json!("\u{0}{{x}}");
    let refused = invalid_schedule(preview(&request));
    assert_eq!(pointers(&refused), ["/title", "/body", "/body"]);
}
