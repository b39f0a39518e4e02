//! Leases in a private Redis server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use steadfast_lease::{Fencing, Grant, LockBackend, RedisBackend, Scope, test_util::conformance};
use steadfast_testkit::{FaultProxy, PrivateRedis, server_or_skip};
use tokio::time::{sleep, timeout};

use crate::support::SEC;

/// How long a condition is waited for that must come true.
const SOON: Duration = Duration::from_secs(20);

const FENCE: &str = "{steadfast-lease:key}:fence";

async fn start() -> Option<(PrivateRedis, RedisBackend)> {
    let server = server_or_skip(PrivateRedis::start().await)?;
    let backend = RedisBackend::new(client(&server.url())).call_timeout(SOON);
    Some((server, backend))
}

fn client(url: &str) -> Client {
    Client::open(url).expect("the URL is sound")
}

async fn connection(server: &PrivateRedis) -> MultiplexedConnection {
    let connection = client(&server.url())
        .get_multiplexed_async_connection()
        .await;
    connection.expect("the server is there")
}

/// The lease, as soon as there is a connection for it.
async fn acquire(backend: &RedisBackend) -> Grant {
    let wait = async {
        loop {
            match backend.try_acquire("key", "a", 60 * SEC).await {
                Ok(Some(grant)) => break grant,
                Ok(None) => panic!("the lease is held"),
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect("a lease")
}

/// Renews the lease, as soon as there is a connection for it.
async fn renew(backend: &RedisBackend, grant: &Grant) {
    let wait = async {
        while backend.renew(grant, 60 * SEC).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect("a connection");
}

#[tokio::test]
async fn redis_backend_conforms() {
    let Some((_server, backend)) = start().await else {
        return;
    };
    assert_eq!(backend.guarantees().scope, Scope::Cluster);
    assert_eq!(backend.guarantees().fencing, Fencing::BestEffort);
    conformance::all(Arc::new(backend), "suite", SEC).await;
}

#[tokio::test]
async fn another_backend_on_the_server_goes_on() {
    let Some((server, backend)) = start().await else {
        return;
    };
    let another = RedisBackend::new(client(&server.url())).call_timeout(SOON);
    conformance::another_backend_goes_on(&backend, &another, "key", SEC / 2).await;
}

#[tokio::test]
async fn fences_grow_over_a_server_that_comes_back_empty() {
    let Some((server, backend)) = start().await else {
        return;
    };
    let mut last = 0;
    for _ in 0..3 {
        let grant = acquire(&backend).await;
        assert!(last < grant.fence, "{} after {last}", grant.fence);
        last = grant.fence;
        server.restart().await.unwrap();
    }
    let renewed = backend.renew(&acquire(&backend).await, SEC).await;
    assert!(renewed.unwrap().is_some());
}

#[tokio::test]
async fn fence_is_one_more_than_the_last_where_the_clock_went_back() {
    let Some((server, backend)) = start().await else {
        return;
    };
    let mut redis = connection(&server).await;
    let last = 9_007_199_254_740_000;
    let () = redis.set(FENCE, last).await.unwrap();
    for fence in [last + 1, last + 2] {
        let grant = acquire(&backend).await;
        assert_eq!(grant.fence, fence);
        let renewed = backend.renew(&grant, SEC).await.unwrap();
        assert_eq!(renewed.unwrap().fence, fence);
        backend.release(&grant).await.unwrap();
    }
}

#[tokio::test]
async fn last_fence_is_kept_for_a_week_after_the_lease() {
    let Some((server, backend)) = start().await else {
        return;
    };
    let mut redis = connection(&server).await;
    let grant = acquire(&backend).await;
    let week = 7 * 24 * 60 * 60 * SEC;
    let kept: u64 = redis.pttl(FENCE).await.unwrap();
    let kept = Duration::from_millis(kept);
    assert!(
        week + 30 * SEC < kept && kept <= week + 60 * SEC,
        "{kept:?}"
    );
    backend.renew(&grant, 3_600 * SEC).await.unwrap();
    let kept: u64 = redis.pttl(FENCE).await.unwrap();
    assert!(week + 3_000 * SEC < Duration::from_millis(kept));
    backend.release(&grant).await.unwrap();
    let last: u64 = redis.get(FENCE).await.unwrap();
    assert_eq!(last, grant.fence);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let Some((server, backend)) = start().await else {
        return;
    };
    let grant = acquire(&backend).await;
    let mut redis = connection(&server).await;
    let flush = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .exec_async(&mut redis)
        .await;
    flush.unwrap();
    assert!(backend.renew(&grant, SEC).await.unwrap().is_some());
}

#[tokio::test]
async fn calls_share_one_connection() {
    let Some((server, _)) = start().await else {
        return;
    };
    let upstream = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let client = client(&format!("redis://{}", proxy.addr()));
    let backend = Arc::new(RedisBackend::new(client).call_timeout(SOON));
    conformance::crowd_gets_one_grant(backend, "key").await;
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn server_that_stands_still_is_a_transient_error_within_the_call_timeout() {
    let Some((server, patient)) = start().await else {
        return;
    };
    let grant = acquire(&patient).await;
    let backend = RedisBackend::new(client(&server.url())).call_timeout(SEC / 2);
    renew(&backend, &grant).await;
    server.pause();
    // The first has a connection, the second gets none.
    for _ in 0..2 {
        let renewal = timeout(SOON, backend.renew(&grant, 60 * SEC)).await;
        let error = renewal.expect("the call ends").unwrap_err();
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            format!(
                "cannot renew a lease in Redis at 127.0.0.1:{}: no answer within 500ms",
                server.port()
            )
        );
    }
    server.resume();
    renew(&backend, &grant).await;
}

#[tokio::test]
async fn refused_password_is_a_permanent_error_that_names_the_server_but_not_the_password() {
    let Some((server, _)) = start().await else {
        return;
    };
    let url = format!("redis://:secret@127.0.0.1:{}", server.port());
    let backend = RedisBackend::new(client(&url));
    let error = backend.try_acquire("key", "a", SEC).await.unwrap_err();
    assert!(!error.is_transient());
    let place = format!("acquire a lease in Redis at 127.0.0.1:{}", server.port());
    assert!(error.to_string().contains(&place), "{error}");
    let shown = format!("{error} {error:?} {backend:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
