//! Five candidates on a backend that fails in every way, in virtual time.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use steadfast_lease::{LeaseContext, LeaseLost, test_util::Fault};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep, timeout},
};

use crate::support::{Register, SEC, builder, clock, faulty};

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
    let seed = std::env::var("STEADFAST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("STEADFAST_SEED={seed}");
    let clock = clock();
    let faults = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&faults);
    let dice = Mutex::new(Random(seed));
    let backend = faulty(&clock, move |_| {
        let mut dice = dice.lock().expect("no panic");
        let fault = match dice.below(14) {
            0 => Fault::Late(Duration::from_millis(dice.below(40_000))),
            1 => Fault::AnswerLate(Duration::from_millis(dice.below(40_000))),
            2 => Fault::Refused,
            3 => Fault::Broken,
            4 => Fault::AnswerLost,
            5 => Fault::Hangs,
            6 => Fault::AnswerHangs,
            _ => return Fault::None,
        };
        count.fetch_add(1, Ordering::Relaxed);
        fault
    });
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
