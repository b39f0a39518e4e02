//! The invariants while 64 tasks change, run, pause, remove and shut down, on one key and on many.
//!
//! What is asserted comes from the log of the handler and from what the callers saw, never from
//! what the scheduler counts. All tasks share one thread and time is virtual, so that the log has
//! the order in which things happened; a store that dawdles lets them overlap. A seed, which is
//! printed, repeats the run: `STEADFAST_SEED`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use steadfast_clock::ManualClock;
use steadfast_scheduler::{Cause, Fire, JobError, JobHandler, JobKey, Scheduler};
use steadfast_testkit::{Random, seed};
use tokio::{
    task::{JoinSet, yield_now},
    time::sleep,
};

use crate::{
    fixture::{at, job, minutes, wall},
    held_store::HeldStore,
};

const TASKS: u64 = 64;
const STEPS: u64 = 60;
/// Runs of as many seeds, beginning with the one that is printed.
const ROUNDS: u64 = 8;

#[derive(Clone, Debug)]
enum Event {
    /// The handler was called.
    Began(Fire),
    Ended(Fire),
    /// An upsert has returned: no fire of a generation older than this starts.
    Changed(JobKey, u64),
    /// A removal has returned: no fire starts of this generation, which was known when it was
    /// called, nor of an older one.
    Removed(JobKey, u64),
    /// A shutdown has returned, and no start has been called since.
    Stopped,
    /// A start is called.
    Starting,
}

/// What happened, in order.
#[derive(Default)]
struct Log(Mutex<Vec<Event>>);

impl Log {
    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct Handler {
    log: Arc<Log>,
    random: Mutex<Random>,
}

#[async_trait]
impl JobHandler for Handler {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        self.log.push(Event::Began(fire.clone()));
        let pause = self.random.lock().unwrap().below(8);
        for _ in 0..pause {
            yield_now().await;
        }
        if pause == 0 {
            sleep(Duration::from_secs(30)).await;
        }
        self.log.push(Event::Ended(fire));
        Ok(())
    }
}

struct Stage {
    scheduler: Scheduler,
    log: Arc<Log>,
    /// Taken by whoever shuts down and starts again, so that the log tells what is the case.
    switch: tokio::sync::Mutex<()>,
    generations: Mutex<HashSet<u64>>,
}

impl Stage {
    fn new(random: &mut Random) -> Arc<Self> {
        let log = Arc::new(Log::default());
        let handler = Arc::new(Handler {
            log: log.clone(),
            random: Mutex::new(fork(random)),
        });
        let store = Arc::new(HeldStore::dawdling(fork(random)));
        let clock = Arc::new(ManualClock::ticking(wall(at("00:30:00"))));
        let builder = Scheduler::builder("stress", store, handler).clock(clock);
        Arc::new(Self {
            scheduler: builder.build().unwrap(),
            log,
            switch: tokio::sync::Mutex::default(),
            generations: Mutex::default(),
        })
    }

    /// One step of a task, on a key chosen at random.
    async fn step(&self, random: &mut Random, keys: u64) {
        let key = JobKey::from(format!("job {}", random.below(keys)));
        match random.below(32) {
            0..10 => self.upsert(key, random).await,
            10..13 => {
                let known = self.log.newest(&key);
                self.scheduler.remove(&key).await.unwrap();
                self.log.push(Event::Removed(key, known));
            }
            13..17 => drop(self.scheduler.run_now(&key).await.unwrap()),
            17..19 => drop(self.scheduler.pause(&key).await.unwrap()),
            19..23 => drop(self.scheduler.resume(&key).await.unwrap()),
            23 if random.below(4) == 0 => {
                let _only = self.switch.lock().await;
                let report = self.scheduler.shutdown(minutes(600)).await;
                self.log.push(Event::Stopped);
                assert_eq!((report.aborted, report.abandoned), (0, 0));
                yield_now().await;
                self.log.push(Event::Starting);
                self.scheduler.start().await;
            }
            23..28 => sleep(Duration::from_secs(random.below(60))).await,
            _ => yield_now().await,
        }
    }

    async fn upsert(&self, key: JobKey, random: &mut Random) {
        let spec = match random.below(3) {
            0 => "@every 10s".to_owned(),
            1 => "* * * * *".to_owned(),
            _ => format!("{} * * * *", random.below(60)),
        };
        // Each is a change, since no two have the same lock.
        let lock = random.below(u64::MAX).to_string();
        let job = job(key.as_str(), &spec).lock(lock);
        let upserted = self.scheduler.upsert(job).await.unwrap();
        self.log.push(Event::Changed(key, upserted.generation));
        let is_new = self.generations.lock().unwrap().insert(upserted.generation);
        assert!(is_new && upserted.changed, "I4: {upserted:?}");
    }

    /// I4: what was changed last is what is due next.
    async fn last_one_wins(&self, keys: u64) {
        for number in 0..keys {
            let key = JobKey::from(format!("job {number}"));
            self.scheduler.resume(&key).await.unwrap();
            let last = job(key.as_str(), "7 7 * * *").lock("the last one");
            let generation = self.scheduler.upsert(last).await.unwrap().generation;
            self.scheduler.resume(&key).await.unwrap();
            let status = self.scheduler.status(&key).await.unwrap().unwrap();
            assert!(status.generation >= generation && !status.paused, "I4");
            let next = status.next_fire.unwrap().to_string();
            assert!(next.ends_with("T07:07:00Z"), "I4: {next}");
        }
    }
}

impl Log {
    /// The newest generation of a key that an upsert has returned.
    fn newest(&self, key: &JobKey) -> u64 {
        let log = self.0.lock().unwrap();
        let changed = log.iter().filter_map(|event| match event {
            Event::Changed(of, generation) if of == key => Some(*generation),
            _ => None,
        });
        changed.max().unwrap_or_default()
    }
}

fn fork(random: &mut Random) -> Random {
    Random::new(random.below(u64::MAX))
}

async fn race(seed: u64, keys: u64) -> usize {
    let mut random = Random::new(seed);
    let stage = Stage::new(&mut random);
    stage.scheduler.start().await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (stage, mut random) = (stage.clone(), fork(&mut random));
        tasks.spawn(async move {
            for _ in 0..STEPS {
                stage.step(&mut random, keys).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    stage.last_one_wins(keys).await;
    stage.scheduler.shutdown(minutes(600)).await;
    let log = std::mem::take(&mut *stage.log.0.lock().unwrap());
    let fires = check(&log, seed);
    // I5: nothing comes later, and nothing is left but this.
    sleep(minutes(600)).await;
    assert!(stage.log.0.lock().unwrap().is_empty(), "I5, seed {seed}");
    let tasks = tokio::runtime::Handle::current().metrics();
    assert_eq!(tasks.num_alive_tasks(), 0, "I5, seed {seed}");
    fires
}

fn check(log: &[Event], seed: u64) -> usize {
    let mut oldest: HashMap<&JobKey, u64> = HashMap::new();
    let mut at_work: HashSet<&JobKey> = HashSet::new();
    let mut latest: HashMap<&JobKey, Timestamp> = HashMap::new();
    let (mut stopped, mut fires) = (false, 0);
    for event in log {
        match event {
            Event::Began(fire) => {
                fires += 1;
                let oldest = oldest.get(&fire.key).copied().unwrap_or_default();
                assert!(
                    fire.generation >= oldest,
                    "I1, seed {seed}: {oldest}, {fire:?}"
                );
                let is_alone = at_work.insert(&fire.key);
                assert!(is_alone, "I2, seed {seed}: {fire:?}");
                if fire.cause != Cause::Manual {
                    let last = latest.insert(&fire.key, fire.scheduled_for);
                    let is_later = last < Some(fire.scheduled_for);
                    assert!(is_later, "I3, seed {seed}: {last:?}, {fire:?}");
                }
                assert!(!stopped, "I5, seed {seed}: {fire:?}");
            }
            Event::Ended(fire) => assert!(at_work.remove(&fire.key)),
            Event::Changed(key, generation) => {
                let known = oldest.entry(key).or_default();
                *known = (*known).max(*generation);
            }
            Event::Removed(key, generation) => {
                let known = oldest.entry(key).or_default();
                *known = (*known).max(*generation + 1);
            }
            Event::Stopped => {
                assert!(at_work.is_empty(), "I5, seed {seed}: {at_work:?}");
                stopped = true;
            }
            Event::Starting => stopped = false,
        }
    }
    fires
}

async fn race_often(keys: u64) -> usize {
    let seed = seed();
    let mut fires = 0;
    for round in 0..ROUNDS {
        fires += race(seed + round, keys).await;
    }
    println!("{fires} fires");
    fires
}

#[tokio::test(start_paused = true)]
async fn i1_to_i5_hold_while_64_tasks_race_on_one_key() {
    assert!(race_often(1).await > 200);
}

#[tokio::test(start_paused = true)]
async fn i1_to_i5_hold_while_64_tasks_race_on_many_keys() {
    assert!(race_often(32).await > 1_000);
}
