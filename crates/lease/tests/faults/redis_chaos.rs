//! Five candidates for one lease in a Redis that is hurt at random and comes back empty, with a log
//! in SQLite that compares fences. Two may believe at once that they hold the lease: Redis is best
//! effort. What must hold is what the fences promise: none is given out twice, and the log takes
//! no write after one with a higher fence.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::Client;
use steadfast_lease::{LeaseContext, LeaseLock, RedisBackend};
use steadfast_testkit::{FaultProxy, PrivateRedis, Random, seed, server_or_skip};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    chaos::{CANDIDATES, checked, short_lock},
    hurt::{for_soak_time, hurt, pause},
    log::{Failed, Log, Writes},
};

/// What the candidates believe, and what became of it.
#[derive(Default)]
struct Beliefs {
    /// The last lease of each candidate.
    leases: Mutex<HashMap<usize, LeaseContext>>,
    /// Who was granted each fence.
    granted: Mutex<HashMap<u64, usize>>,
    /// How many writes were tried while more than one believed.
    shared: AtomicUsize,
    /// How many writes the log refused.
    refused: AtomicUsize,
}

impl Beliefs {
    fn begin(&self, candidate: usize, cx: &LeaseContext) {
        let earlier = self.granted.lock().unwrap().insert(cx.fence(), candidate);
        assert_eq!(earlier, None, "fence {} was given out twice", cx.fence());
        self.leases.lock().unwrap().insert(candidate, cx.clone());
    }

    /// To be called before each write.
    fn note(&self) {
        let leases = self.leases.lock().unwrap();
        if leases.values().filter(|cx| cx.check().is_ok()).count() > 1 {
            self.shared.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Leads again and again; each term writes for a while, without a look at its lease.
async fn candidate(
    number: usize,
    lock: LeaseLock,
    log: Log,
    beliefs: Arc<Beliefs>,
    mut random: Random,
) {
    loop {
        let writes = random.below(100);
        let work = async |cx: LeaseContext| {
            beliefs.begin(number, &cx);
            for _ in 0..writes {
                beliefs.note();
                if let Err(Failed::Refused) = log.write(Writes::Fenced, cx.fence()).await {
                    beliefs.refused.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                pause(5).await;
            }
        };
        // Lost, or the server is not there: try again.
        let _ = lock.run(work).await;
        sleep(Duration::from_millis(random.below(200))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_whose_redis_is_hurt_never_write_out_of_order() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = Log::sqlite(&folder.path().join("log.db")).await;
    log.create_tables().await;
    let beliefs = Arc::new(Beliefs::default());
    let mut random = Random::new(seed());
    let mut candidates = JoinSet::new();
    for number in 0..CANDIDATES {
        let client = Client::open(format!("redis://{}", proxy.addr())).unwrap();
        let lock = short_lock(Arc::new(RedisBackend::new(client)), &number.to_string());
        let (log, beliefs) = (log.clone(), Arc::clone(&beliefs));
        let random = Random::new(random.below(1 << 32));
        candidates.spawn(candidate(number, lock, log, beliefs, random));
    }
    let mut faults = 0;
    for_soak_time(async || {
        hurt(&server, &proxy, &mut random).await;
        pause(random.below(1_000)).await;
        faults += 1;
    })
    .await;
    if let Some(ended) = candidates.try_join_next() {
        panic!("a candidate has failed: {ended:?}");
    }
    candidates.shutdown().await;
    let fences = log.fences().await;
    let holders = checked(&fences);
    println!(
        "{faults} faults, {holders} holders, {} writes, {} of them refused, {} tried while more \
         than one believed that it held the lease",
        fences.len(),
        beliefs.refused.load(Ordering::Relaxed),
        beliefs.shared.load(Ordering::Relaxed),
    );
    assert!(faults >= 3 && holders >= 2);
}
