use std::time::Duration;

use steadfast_lifecycle::{
    BuildError, Lifecycle, ServiceSpec,
    test_util::{Journal, ScriptedService},
};

use crate::support::{app, names};

fn refused(specs: impl IntoIterator<Item = ServiceSpec>) -> String {
    let mut builder = Lifecycle::builder();
    for spec in specs {
        let service = ScriptedService::new(spec, &Journal::default());
        builder = builder.service(std::sync::Arc::new(service));
    }
    builder.build().expect_err("an unsound graph").to_string()
}

#[test]
fn circle_is_refused_with_its_path() {
    let message = refused([
        ServiceSpec::new("outside").requires("a"),
        ServiceSpec::new("a").requires("b"),
        ServiceSpec::new("b").wants("c"),
        ServiceSpec::new("c").requires("a"),
        ServiceSpec::new("base"),
    ]);
    assert_eq!(
        message,
        "services depend on each other in a circle: a -> b -> c -> a"
    );
}

#[test]
fn service_that_needs_itself_is_refused() {
    let message = refused([ServiceSpec::new("a").wants("a")]);
    assert_eq!(message, "services depend on each other in a circle: a -> a");
}

#[test]
fn missing_hard_dependency_is_refused_and_a_soft_one_is_not() {
    let message = refused([ServiceSpec::new("http").requires("database")]);
    assert_eq!(
        message,
        "service `http` requires `database`, which is not there"
    );
    app([ServiceSpec::new("http").wants("database")]);
}

#[test]
fn two_services_of_one_name_are_refused() {
    let message = refused([ServiceSpec::new("a"), ServiceSpec::new("a")]);
    assert_eq!(message, "two services are named `a`");
}

#[test]
fn required_service_on_an_optional_one_is_refused() {
    let message = refused([
        ServiceSpec::new("http").requires("cache"),
        ServiceSpec::new("cache").optional(),
    ]);
    assert!(message.starts_with("required service `http` requires `cache`, which is optional"));
}

#[test]
fn bad_settings_are_refused_by_name() {
    assert_eq!(
        refused([ServiceSpec::new("a"), ServiceSpec::new("")]),
        "service number 1 has an empty name"
    );
    assert_eq!(
        refused([ServiceSpec::new("a").stop_timeout(Duration::ZERO)]),
        "`stop_timeout` of service `a` is zero"
    );
    let outcome = Lifecycle::builder().probe_timeout(Duration::ZERO).build();
    assert_eq!(
        outcome.expect_err("zero"),
        BuildError::ZeroSetting {
            field: "probe_timeout"
        }
    );
    let outcome = Lifecycle::builder().failure_threshold(0).build();
    assert_eq!(
        outcome.expect_err("zero").to_string(),
        "`failure_threshold` is zero"
    );
}

#[tokio::test(start_paused = true)]
async fn order_is_by_dependency_and_ties_go_by_registration() {
    let app = app([
        ServiceSpec::new("z"),
        ServiceSpec::new("late").wants("y"),
        ServiceSpec::new("a"),
        ServiceSpec::new("y").requires("a").requires("a").wants("a"),
        ServiceSpec::new("b"),
    ]);
    app.lifecycle.start().await.unwrap();
    assert_eq!(names(&app.journal.starts()), ["z", "a", "y", "late", "b"]);
}
