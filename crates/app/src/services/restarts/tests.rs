use std::{collections::BTreeSet, path::Path, sync::Arc};

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use steadfast_clock::SystemClock;
use steadfast_db_init::{Database, MemoryBackend};
use steadfast_lifecycle::{
    Health, Lifecycle, Service, ServiceSpec, ServiceState, Snapshot, StartContext, StopContext,
    test_util::{Journal, ScriptedService, Step},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    super::{
        database::DatabaseService, monitor, open_sqlite, privacy::PrivacyService, slot::Slot,
        stores::Stores,
    },
    *,
};
use crate::{
    alerts::Alerts,
    config::{Config, Key, Layers},
    http::admin_router,
};

/// Runs what `services` make, with the settings of the binary and its monitor.
async fn supervised(
    services: Vec<Arc<dyn Service>>,
    scenario: impl AsyncFnOnce(&Lifecycle, &Alerts),
) {
    let mut builder = Lifecycle::builder()
        .probe_interval(super::super::PROBE_INTERVAL)
        .failure_threshold(monitor::FAILURES);
    for service in services {
        builder = builder.service(service);
    }
    let lifecycle = builder.build().unwrap();
    lifecycle.start().await.unwrap();
    let alerts = Alerts::new(Arc::new(SystemClock));
    let idle = Database::builder(MemoryBackend::new()).build().unwrap();
    let stop = CancellationToken::new();
    let watch = monitor::watch(
        lifecycle.handle(),
        Arc::new(idle),
        alerts.clone(),
        stop.clone(),
    );
    let scenario = async {
        scenario(&lifecycle, &alerts).await;
        stop.cancel();
    };
    tokio::join!(watch, scenario);
    lifecycle.stop().await.unwrap();
}

/// What `/readyz` says of the whole and of privacy.
async fn ready(lifecycle: &Lifecycle) -> (u16, String, String) {
    let router = admin_router(lifecycle.handle(), String::new);
    let request = http::Request::get("/readyz");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let services = body["services"].as_array().unwrap();
    let privacy = services.iter().find(|it| it["name"] == "privacy").unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (status, text(&body["status"]), text(&privacy["state"]))
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(60);
    assert!(
        tokio::time::timeout(limit, polled).await.is_ok(),
        "never: {what}"
    );
}

fn failures(lifecycle: &Lifecycle) -> u32 {
    lifecycle.snapshot().service("privacy").unwrap().failures
}

/// The subjects of the alerts that are active.
fn down(alerts: &Alerts) -> BTreeSet<String> {
    let active = alerts.active().into_iter();
    let down = active.filter(|it| it.name == "service_down");
    down.map(|it| it.subject).collect()
}

fn config(data: &Path) -> Config {
    let data = data.to_str().unwrap().to_owned();
    let layers = Layers::defaults().flag(Key::named("data_dir").unwrap(), data);
    let key = Key::named("database_busy_timeout").unwrap();
    Config::from_layers(&layers.flag(key, "10ms".to_owned())).unwrap()
}

/// Takes the right to write from everybody, once the database is up and before privacy starts.
struct Intruder {
    database: std::path::PathBuf,
    connection: Mutex<Option<SqliteConnection>>,
}

impl Intruder {
    async fn go(&self) {
        let connection = self.connection.lock().await.take().unwrap();
        connection.close().await.unwrap();
    }
}

#[async_trait]
impl Service for Intruder {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("intruder").requires("database")
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        let options = SqliteConnectOptions::new().filename(&self.database);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
        lock.execute(&mut connection).await.unwrap();
        *self.connection.lock().await = Some(connection);
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

#[tokio::test]
async fn privacy_that_met_a_locked_database_is_back_when_it_is_not() {
    let data = tempfile::tempdir().unwrap();
    let config = Arc::new(config(data.path()));
    let path = data.path().join("steadfast.db");
    let clock = Arc::new(SystemClock);
    let assembly = Slot::empty("database");
    let database = Arc::new(open_sqlite(&path, &config, clock.clone()).unwrap());
    let intruder = Arc::new(Intruder {
        database: path,
        connection: Mutex::default(),
    });
    let services: [Arc<dyn Service>; 3] = [
        Arc::new(DatabaseService::new(
            database,
            Stores::sqlite,
            None,
            config,
            clock,
            assembly.clone(),
        )),
        intruder.clone(),
        Arc::new(PrivacyService::new(assembly)),
    ];
    supervised(services.into(), async |lifecycle, alerts| {
        until("the second failure", async || failures(lifecycle) >= 2).await;
        let expected = (200, "degraded".to_owned(), "restarting".to_owned());
        until("a wait", async || ready(lifecycle).await == expected).await;
        until("the alert", async || down(alerts).contains("privacy")).await;
        intruder.go().await;
        until("its return", async || ready(lifecycle).await.2 == "running").await;
        until("the end of the alert", async || {
            !down(alerts).contains("privacy")
        })
        .await;
        assert_eq!(alerts.recent()[0].subject, "privacy");
        assert_eq!(failures(lifecycle), 0);
        let snapshot = lifecycle.snapshot();
        let privacy = snapshot.service("privacy").unwrap();
        assert!(privacy.restarts >= 2, "{privacy:?}");
        let error = privacy.last_error.as_deref().unwrap();
        assert!(error.contains("lease_lock"), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn privacy_that_fails_beyond_its_intensity_leaves_the_rest_degraded() {
    let journal = Journal::default();
    let spec = PrivacyService::new(Slot::empty("database")).spec();
    let privacy = Arc::new(ScriptedService::new(spec, &journal));
    let database = ScriptedService::new(ServiceSpec::new("database"), &journal);
    privacy.set_start(Step::Fail);
    supervised(
        vec![Arc::new(database), privacy.clone()],
        async |lifecycle, alerts| {
            let mut snapshot = lifecycle.subscribe();
            let failed = |now: &Arc<Snapshot>| {
                let privacy = now.service("privacy").unwrap();
                privacy.state == ServiceState::Failed
            };
            snapshot.wait_for(failed).await.unwrap();
            assert_eq!(failures(lifecycle), 31);
            privacy.set_start(Step::Succeed);
            tokio::time::sleep(Duration::from_secs(120)).await;
            let expected = (200, "degraded".to_owned(), "failed".to_owned());
            assert_eq!(ready(lifecycle).await, expected);
            assert_eq!(down(alerts), BTreeSet::from(["privacy".to_owned()]));
        },
    )
    .await;
}
