//! Holders whose way to the server is cut: sessions that an operator terminates, a network that
//! swallows everything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use redis::Client;
use sqlx::{PgPool, postgres::PgPoolOptions};
use steadfast_lease::{
    BackendError, Elector, ElectorState, LeaseContext, LeaseLock, LockBackend, PostgresBackend,
    RedisBackend,
};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, PrivateRedis, server_or_skip};
use tokio::{join, time::timeout};

use crate::{KEY, SOON, found, log::Log};

/// A lease that nobody waits for the end of.
const LONG: Duration = Duration::from_secs(600);

/// A server with the tables, and its operator.
async fn start() -> Option<(PrivatePostgres, PgPool)> {
    let server = server_or_skip(PrivatePostgres::start().await)?;
    let operator = open(&server).await;
    Log::Postgres(operator.clone()).create_tables().await;
    Some((server, operator))
}

async fn open(server: &PrivatePostgres) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(2);
    pool.connect(&server.url()).await.unwrap()
}

/// The fence and the end of the lease, as the table has them.
async fn row(operator: &PgPool) -> (i64, String) {
    let select = "SELECT fence, expires_at::text FROM lease_lock";
    sqlx::query_as(select).fetch_one(operator).await.unwrap()
}

/// What a call says whose session is terminated while it waits for the row.
async fn terminated<T: std::fmt::Debug>(
    operator: &PgPool,
    call: impl Future<Output = Result<T, BackendError>>,
) -> BackendError {
    let before = row(operator).await;
    let mut blocker = operator.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM lease_lock FOR UPDATE");
    lock.execute(&mut *blocker).await.unwrap();
    let terminate = found(async || {
        let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock'";
        let ended: Option<bool> = sqlx::query_scalar(waiting)
            .fetch_optional(operator)
            .await
            .unwrap();
        ended
    });
    let (answer, _) = join!(timeout(SOON, call), terminate);
    blocker.rollback().await.unwrap();
    assert_eq!(row(operator).await, before, "the call changed something");
    answer.expect("the call ends").unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_whose_session_is_terminated_changes_nothing_and_may_be_repeated() {
    let Some((server, operator)) = start().await else {
        return;
    };
    let backend = PostgresBackend::new(open(&server).await);
    let acquire = async || backend.try_acquire(KEY, "a", LONG).await;
    let first = acquire().await.unwrap().unwrap();
    let renewal = terminated(&operator, backend.renew(&first, LONG)).await;
    let renewed = backend.renew(&first, LONG).await.unwrap();
    assert!(renewed.is_some(), "it is held");
    let release = terminated(&operator, backend.release(&first)).await;
    backend.release(&first).await.unwrap();
    let acquisition = terminated(&operator, acquire()).await;
    let second = acquire().await.unwrap().expect("it is free");
    assert_eq!(second.fence, first.fence + 1);
    for error in [renewal, release, acquisition] {
        assert!(error.is_transient(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_whose_sessions_are_terminated_again_and_again_keeps_the_lease() {
    let Some((server, operator)) = start().await else {
        return;
    };
    let backend = PostgresBackend::new(open(&server).await);
    let lock = LeaseLock::builder(Arc::new(backend), KEY, "a")
        .ttl(LONG)
        .renew_every(Duration::from_millis(20))
        .retry_every(Duration::from_millis(20))
        .build()
        .unwrap();
    let work = async |cx: LeaseContext| {
        for _ in 0..20 {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
            sqlx::query(others).execute(&operator).await.unwrap();
            // One that was under way may still have come through; the second has not.
            for _ in 0..2 {
                let before = row(&operator).await;
                found(async || (row(&operator).await != before).then_some(())).await;
            }
        }
        cx.check()
    };
    lock.run(work).await.unwrap().expect("it was never lost");
}

/// A leader demotes itself while its lease is still held for it, though nothing can be heard.
async fn leader_in_silence(backend: impl LockBackend, proxy: FaultProxy, rival: &dyn LockBackend) {
    // Given up 25 s before its end, so that a slow machine is in time, too.
    let lock = LeaseLock::builder(Arc::new(backend), KEY, "a")
        .ttl(Duration::from_secs(30))
        .renew_every(Duration::from_secs(1))
        .margin(Duration::from_secs(25))
        .build()
        .unwrap();
    let elector = Elector::builder(lock).start(async |cx: LeaseContext| {
        cx.cancellation().cancelled().await;
    });
    let mut state = elector.subscribe();
    let leads = timeout(SOON, state.wait_for(|state| state.is_leader())).await;
    let fence = leads.unwrap().unwrap().fence().unwrap();
    proxy.set(Fault::Blackhole).await.unwrap();
    let demotion = timeout(SOON, state.wait_for(|state| !state.is_leader())).await;
    let demoted = *demotion.expect("it demotes itself").unwrap();
    assert_eq!(demoted, ElectorState::StoppingWork { fence });
    let granted = rival.try_acquire(KEY, "b", LONG).await.unwrap();
    assert_eq!(granted, None, "demoted after another could lead");
}

async fn proxy(port: u16) -> FaultProxy {
    let upstream = SocketAddr::from(([127, 0, 0, 1], port));
    FaultProxy::start(upstream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_hears_nothing_from_postgres_demotes_before_its_lease_ends() {
    let Some((server, operator)) = start().await else {
        return;
    };
    let proxy = proxy(server.port()).await;
    let url = format!("postgres://postgres@{}/postgres", proxy.addr());
    let cut = PgPoolOptions::new().max_connections(2).connect(&url).await;
    let cut = PostgresBackend::new(cut.unwrap());
    leader_in_silence(cut, proxy, &PostgresBackend::new(operator)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_hears_nothing_from_redis_demotes_before_its_lease_ends() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let proxy = proxy(server.port()).await;
    let backend = |url: String| RedisBackend::new(Client::open(url).unwrap());
    let cut = backend(format!("redis://{}", proxy.addr()));
    let rival = backend(server.url()).call_timeout(SOON);
    leader_in_silence(cut, proxy, &rival).await;
}
