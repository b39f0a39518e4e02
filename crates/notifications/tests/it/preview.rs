use serde_json::json;
use steadfast_notifications::PreviewRequest;

use crate::{World, invalid_schedule, pointers};

fn request(request: serde_json::Value) -> PreviewRequest {
    serde_json::from_value(request).unwrap()
}

#[tokio::test]
async fn preview_says_what_it_means_and_when_it_fires() {
    let world = World::new();
    // Berlin changes its offset on 28 March 2027.
    let asked = request(json!({
        "cron": "0 9 * * *", "tz": "Europe/Berlin", "from": "2027-03-26T12:00:00Z", "count": 2,
    }));
    let preview = world.schedules.preview(&asked).unwrap();
    let expected = json!({
        "description": "every day at 09:00",
        "next_fires": ["2027-03-27T09:00:00+01:00", "2027-03-28T09:00:00+02:00"],
    });
    assert_eq!(serde_json::to_value(preview).unwrap(), expected);
}

#[tokio::test]
async fn preview_starts_now_and_shows_five() {
    let world = World::new();
    let asked = request(json!({"cron": "@hourly", "tz": "UTC"}));
    let fires = world.schedules.preview(&asked).unwrap().next_fires;
    assert_eq!(fires.len(), 5);
    assert_eq!(fires[0].timestamp().to_string(), "2027-01-15T09:00:00Z");
}

#[tokio::test]
async fn preview_names_every_field_at_fault() {
    let world = World::new();
    for count in [0, 101] {
        let asked = request(json!({"cron": "0 9 30 2 *", "tz": "Mars", "count": count}));
        let invalid = invalid_schedule(world.schedules.preview(&asked));
        assert_eq!(pointers(&invalid), ["/cron", "/tz", "/count"]);
    }
}
