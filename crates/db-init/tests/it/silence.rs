//! A Postgres server that has stopped answering: everything ends in time and says where.

use std::time::Duration;

use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{
    Backend, BackendError, Class, Database, InitError, PostgresBackend, PostgresOptions,
};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, server_or_skip};

use crate::{chain, notes};

const ACQUIRE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_millis(500);
/// What a loaded machine may take on top.
const SLACK: Duration = Duration::from_secs(3);

async fn server() -> Option<(PrivatePostgres, FaultProxy, PostgresBackend)> {
    let server = server_or_skip(PrivatePostgres::start().await)?;
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let options = PostgresOptions::default()
        .max_connections(1)
        .connect_timeout(CONNECT)
        .acquire_timeout(ACQUIRE);
    let url = format!("postgres://postgres@{}/postgres", proxy.addr());
    let backend = PostgresBackend::new(&url, options).unwrap();
    Some((server, proxy, backend))
}

/// The outcome of a future, which must end within the two timeouts together.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let within = ACQUIRE + CONNECT + SLACK;
    let outcome = tokio::time::timeout(within, future).await;
    outcome.expect("it ends within its own timeouts")
}

fn assert_silence(error: &BackendError, proxy: &FaultProxy) {
    let text = chain(error);
    assert_eq!(error.class(), Class::Transient, "{text}");
    assert!(text.contains(&proxy.addr().to_string()), "{text}");
    let cause = "no answer within the connect timeout of 500ms";
    assert!(text.ends_with(cause), "{text}");
}

#[tokio::test]
async fn ping_of_a_silent_server_ends_in_time_and_names_it() {
    let Some((server, proxy, backend)) = server().await else {
        return;
    };
    let pool = backend.connect().await.unwrap();
    backend.ping(&pool).await.unwrap();

    proxy.set(Fault::Blackhole).await.unwrap();
    let error = in_time(backend.ping(&pool)).await.unwrap_err();
    assert_silence(&error, &proxy);
    proxy.set(Fault::Forward).await.unwrap();
    in_time(backend.ping(&pool)).await.unwrap();

    server.pause();
    let error = in_time(backend.ping(&pool)).await.unwrap_err();
    assert_silence(&error, &proxy);
    server.resume();
    in_time(backend.ping(&pool)).await.unwrap();
}

#[tokio::test]
async fn ping_that_is_answered_too_late_fails_and_gives_its_place_back() {
    let Some((_server, proxy, backend)) = server().await else {
        return;
    };
    let pool = backend.connect().await.unwrap();
    // One connection that is open already, so that the pool has only to try it out.
    drop(pool.acquire().await.unwrap());
    // Each round trip takes 800 ms: within the acquire timeout, beyond the connect timeout.
    let delay = Fault::Delay(Duration::from_millis(400));
    proxy.set(delay).await.unwrap();
    let error = in_time(backend.ping(&pool)).await.unwrap_err();
    assert_silence(&error, &proxy);
    assert_eq!(backend.stats(&pool).open, 0, "the connection is gone");

    proxy.set(Fault::Forward).await.unwrap();
    backend.ping(&pool).await.unwrap();
}

#[tokio::test]
async fn initialisation_against_a_silent_server_ends_in_time_and_names_it() {
    let Some((server, proxy, backend)) = server().await else {
        return;
    };
    let database = || {
        let database = Database::builder(backend.clone()).migrations(notes());
        database.max_attempts(2).initial_delay(CONNECT / 10)
    };
    for pause in [false, true] {
        if pause {
            proxy.set(Fault::Forward).await.unwrap();
            server.pause();
        } else {
            proxy.set(Fault::Blackhole).await.unwrap();
        }
        let database = database().build().unwrap();
        let started = SystemClock.monotonic();
        let error = database.initialize().await.unwrap_err();
        let waited = SystemClock.monotonic() - started;
        let exhausted = matches!(*error, InitError::Exhausted { attempts: 2, .. });
        assert!(exhausted, "{error:?}");
        let text = chain(&*error);
        assert!(text.contains(&proxy.addr().to_string()), "{text}");
        assert!(waited < 2 * CONNECT + SLACK, "{waited:?}");
    }
    server.resume();
    let database = database().build().unwrap();
    database.initialize().await.unwrap();
}
