//! A Redis that is killed under a holder and comes back without its data.

use std::{sync::Arc, time::Duration};

use redis::Client;
use steadfast_lease::{
    Elector, ElectorState, LeaseContext, LeaseError, LeaseLock, LossReason, RedisBackend,
};
use steadfast_testkit::{PrivateRedis, server_or_skip};
use tokio::time::timeout;

use crate::{
    KEY, SOON,
    log::{Failed, Log, Writes, overlap},
};

/// A lease that nobody waits for the end of, renewed at this pace.
fn lock(server: &PrivateRedis, owner: &str, renew_every: Duration) -> LeaseLock {
    let client = Client::open(server.url()).unwrap();
    LeaseLock::builder(Arc::new(RedisBackend::new(client)), KEY, owner)
        .ttl(Duration::from_secs(600))
        .renew_every(renew_every)
        .retry_every(Duration::from_millis(50))
        .build()
        .unwrap()
}

async fn replace(server: &PrivateRedis) {
    server.kill();
    server.restart().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_believe_after_redis_came_back_empty_and_the_fence_refuses_the_earlier() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::sqlite(&folder.path().join("log.db")).await;
    log.create_tables().await;
    let rarely = Duration::from_secs(300);
    let (a, b) = (lock(&server, "a", rarely), lock(&server, "b", rarely));
    let work = async |old: LeaseContext| {
        log.write(Writes::Fenced, old.fence()).await.unwrap();
        let refused = b.try_run(async |_| ()).await.unwrap();
        assert!(refused.is_none(), "the lease is held");
        replace(&server).await;
        let succeed = async |new: LeaseContext| {
            assert!(old.fence() < new.fence(), "the fence went back");
            log.write(Writes::Fenced, new.fence()).await.unwrap();
            old.check().expect("it has not heard of it");
            new.check().expect("it has just been granted");
            let late = log.write(Writes::Fenced, old.fence()).await;
            assert!(matches!(late, Err(Failed::Refused)), "{late:?}");
            assert_eq!(overlap(&log.fences().await), None);
            // Without the fence both write.
            log.write(Writes::Unfenced, old.fence()).await.unwrap();
            assert_eq!(overlap(&log.fences().await), Some(1));
        };
        b.run(succeed).await.unwrap();
    };
    timeout(SOON, a.run(work)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_is_told_by_its_next_renewal_that_redis_came_back_empty() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let often = Duration::from_millis(100);
    let work = async |cx: LeaseContext| {
        replace(&server).await;
        let told = timeout(SOON, cx.cancellation().cancelled()).await;
        told.expect("it is told");
    };
    let outcome = lock(&server, "a", often).run(work).await;
    let Err(LeaseError::Lost(lost)) = outcome else {
        panic!("not lost: {outcome:?}");
    };
    assert_eq!(lost.reason, LossReason::Taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_steps_down_when_redis_came_back_empty_and_leads_again_under_a_higher_fence() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let often = Duration::from_millis(100);
    let elector = Elector::builder(lock(&server, "a", often)).start(async |cx: LeaseContext| {
        cx.cancellation().cancelled().await;
    });
    let mut state = elector.subscribe();
    let mut last = 0;
    for _ in 0..3 {
        let leads = state.wait_for(|state| state.fence().is_some_and(|fence| fence > last));
        let leader = *timeout(SOON, leads).await.unwrap().unwrap();
        last = leader.fence().unwrap();
        replace(&server).await;
    }
    elector.shutdown(SOON).await.unwrap();
    assert_eq!(elector.state(), ElectorState::Released);
}
