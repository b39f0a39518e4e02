//! Five candidates on a backend that fails in every way, in virtual time.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use steadfast_clock::Clock;
use steadfast_lease::{
    BackendError, Elector, Fencing, Grant, Guarantees, LeaseContext, LeaseLost, LockBackend, Scope,
    test_util::Fault,
};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep, timeout},
};

use crate::support::{Faulty, Register, SEC, TTL, builder, clock, faulty};

const CANDIDATES: u64 = 5;
const FAULTS: usize = 10_000;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Writes once a second while the lease holds.
async fn work(cx: LeaseContext, register: &Register, rounds: u64) -> Result<(), LeaseLost> {
    for _ in 0..rounds {
        cx.check()?;
        // Accepted without exception: a check that passes means that nobody has come after.
        assert!(register.write(cx.fence()), "two holders at once");
        tokio::select! {
            () = cx.cancellation().cancelled() => {}
            () = sleep(SEC) => {}
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn candidates_under_chaos_never_write_at_the_same_time() {
    let seed = seed();
    let clock = clock();
    let (backend, faults) = chaotic(&clock, seed);
    let register = Arc::new(Register::default());
    let mut candidates = JoinSet::new();
    for index in 0..CANDIDATES {
        let lock = builder(Arc::clone(&backend) as _, &clock, &format!("owner-{index}"))
            .build()
            .expect("sound settings");
        let (register, faults) = (Arc::clone(&register), Arc::clone(&faults));
        let mut dice = Random(seed ^ (index + 1) << 32);
        candidates.spawn(async move {
            while faults.load(Ordering::Relaxed) < FAULTS {
                let rounds = dice.below(120);
                let run = lock.run(async |cx| work(cx, &register, rounds).await);
                // Now and then the whole is dropped, at any await.
                let patience = Duration::from_millis(1 + dice.below(300_000));
                let _ = timeout(patience, run).await;
                sleep(Duration::from_millis(dice.below(5_000))).await;
            }
        });
    }
    candidates.join_all().await;
    let mut fences = register.writes();
    assert!(fences.is_sorted());
    fences.dedup();
    let holders = fences.len();
    assert!(holders > 500, "only {holders} holders got to write");
}

fn seed() -> u64 {
    let seed = std::env::var("STEADFAST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("STEADFAST_SEED={seed}");
    seed
}

/// A backend every second of whose calls suffers a fault, and how many did.
fn chaotic(clock: &Arc<dyn Clock>, seed: u64) -> (Faulty, Arc<AtomicUsize>) {
    let faults = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&faults);
    let dice = Mutex::new(Random(seed));
    let backend = faulty(clock, move |_| {
        let mut dice = dice.lock().expect("no panic");
        let fault = match dice.below(16) {
            0 => Fault::Late(Duration::from_millis(dice.below(40_000))),
            1 => Fault::AnswerLate(Duration::from_millis(dice.below(40_000))),
            2 => Fault::Refused,
            3 => Fault::Broken,
            4 => Fault::AnswerLost,
            5 => Fault::Hangs,
            6 => Fault::AnswerHangs,
            7 => Fault::Panics,
            8 => Fault::AnswerPanics,
            _ => return Fault::None,
        };
        count.fetch_add(1, Ordering::Relaxed);
        fault
    });
    (backend, faults)
}

/// What leaders wrote, in order: the fence and whose it was.
#[derive(Default)]
struct Checker {
    writes: Mutex<Vec<(u64, u64)>>,
}

impl Checker {
    fn write(&self, fence: u64, leader: u64) {
        let mut writes = self.writes.lock().expect("no panic");
        writes.push((fence, leader));
    }

    /// The writes that came after one with a higher fence, or with one fence of two leaders.
    fn overlaps(&self) -> usize {
        let writes = self.writes.lock().expect("no panic");
        let overlaps = writes.windows(2).filter(|pair| {
            pair[1].0 < pair[0].0 || pair[1].0 == pair[0].0 && pair[1].1 != pair[0].1
        });
        overlaps.count()
    }

    fn terms(&self) -> usize {
        let mut writes = self.writes.lock().expect("no panic").clone();
        writes.dedup();
        writes.len()
    }
}

/// An elector whose leader writes once a second while the lease holds, and then returns, panics or
/// takes long to stop.
fn elector(
    backend: Arc<dyn LockBackend>,
    clock: &Arc<dyn Clock>,
    log: &Arc<Checker>,
    leader: u64,
) -> Elector {
    let lock = builder(backend, clock, &format!("owner-{leader}"));
    let log = Arc::clone(log);
    Elector::builder(lock.build().expect("sound settings")).start(move |cx: LeaseContext| {
        let log = Arc::clone(&log);
        let mut dice = Random(cx.fence() ^ leader << 32);
        async move {
            for _ in 0..dice.below(200) {
                if cx.check().is_err() {
                    break;
                }
                log.write(cx.fence(), leader);
                tokio::select! {
                    () = cx.cancellation().cancelled() => {}
                    () = sleep(SEC) => {}
                }
            }
            match dice.below(10) {
                0 => std::panic::resume_unwind(Box::new("injected")),
                1 => sleep(3 * TTL).await,
                _ => {}
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn electors_under_chaos_never_lead_at_the_same_time() {
    let seed = seed();
    let clock = clock();
    let (backend, faults) = chaotic(&clock, seed);
    let log = Arc::new(Checker::default());
    let start = |leader| elector(Arc::clone(&backend) as _, &clock, &log, leader);
    let mut electors: Vec<_> = (0..CANDIDATES).map(start).collect();
    let mut dice = Random(seed ^ 0xe1ec);
    let (mut resigned, mut dropped) = (0, 0);
    while faults.load(Ordering::Relaxed) < FAULTS {
        sleep(Duration::from_millis(1 + dice.below(20_000))).await;
        let leaders: Vec<_> = electors
            .iter()
            .filter(|elector| elector.state().is_leader())
            .collect();
        assert!(leaders.len() <= 1, "{leaders:?}");
        if let Some(leader) = leaders.first()
            && dice.below(8) == 0
        {
            resigned += usize::from(leader.resign(TTL).await.is_ok());
        }
        if dice.below(100) == 0 {
            // A process is killed and started anew.
            dropped += 1;
            let victim = (dropped % CANDIDATES) as usize;
            electors[victim] = start(CANDIDATES + dropped);
        }
    }
    for elector in &electors {
        elector.shutdown(20 * TTL).await.expect("work ends in time");
    }
    let terms = log.terms();
    println!("{terms} terms, {resigned} resignations, {dropped} electors dropped");
    assert_eq!(log.overlaps(), 0);
    assert!(terms > 500, "only {terms} terms");
    assert!(resigned > 50 && dropped > 5);
}

/// Grants a lease to everybody, under fences of their own or under one.
struct GrantsTwice {
    clock: Arc<dyn Clock>,
    fences: AtomicU64,
    step: u64,
}

#[async_trait]
impl LockBackend for GrantsTwice {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let fence = self.fences.fetch_add(self.step, Ordering::Relaxed);
        let sent = self.clock.monotonic();
        Ok(Some(Grant::new(key, owner, fence, sent, ttl)))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        let (key, owner) = (Arc::clone(&grant.key), Arc::clone(&grant.owner));
        let sent = self.clock.monotonic();
        Ok(Some(Grant::new(key, owner, grant.fence, sent, ttl)))
    }

    async fn release(&self, _: &Grant) -> Result<(), BackendError> {
        Ok(())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Scope::Process, Fencing::BestEffort)
    }
}

#[tokio::test(start_paused = true)]
async fn backend_that_grants_twice_is_caught_by_the_checker() {
    for step in [0, 1] {
        let clock = clock();
        let log = Arc::new(Checker::default());
        let backend = Arc::new(GrantsTwice {
            clock: Arc::clone(&clock),
            fences: AtomicU64::new(1),
            step,
        });
        let start = |leader| elector(Arc::clone(&backend) as _, &clock, &log, leader);
        let electors: Vec<_> = (0..CANDIDATES).map(start).collect();
        sleep(10 * SEC).await;
        let overlaps = log.overlaps();
        assert!(overlaps > 5, "{overlaps} overlaps seen");
        drop(electors);
    }
}
