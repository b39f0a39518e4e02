//! Electors in processes of their own that are stopped, continued and killed: what each is seen
//! to do, what their leaders write, and that a lease is released only after its work.

use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_lease::{Elector, ElectorState, LeaseContext};
use steadfast_testkit::{
    ChildProcess, PrivatePostgres, PrivateRedis, Random, seed, server_or_skip,
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    chaos::{CANDIDATES, checked, short_lock},
    hurt::{MAX_FAULT, for_soak_time, pause},
    log::{Failed, Log, Writes},
    stopped_holder::backend,
};

/// The fence whose work runs in this process; none is 0.
static RUNNING: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn process() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    let mut words = role.split(' ');
    let [number, database, leases] = [(); 3].map(|()| words.next().unwrap());
    let log = Log::at(database).await;
    let lock = short_lock(backend(&log, leases), number);
    let written = log.clone();
    let elector = Elector::builder(lock).start(move |cx| lead(written.clone(), cx));
    let mut watching = JoinSet::new();
    watching.spawn(watch(elector.subscribe(), log));
    watching.join_all().await;
}

/// Notes what should not be seen. On one thread, a task has its turn before a task that is woken
/// after it: every state is seen that lasts until its elector has to wait.
async fn watch(mut state: watch::Receiver<ElectorState>, log: Log) {
    let mut last = *state.borrow_and_update();
    loop {
        state.changed().await.unwrap();
        let next = *state.borrow_and_update();
        let running = RUNNING.load(Ordering::Relaxed);
        if !follows(last, next) || next == ElectorState::Released && running != 0 {
            log.note(&format!("{next:?} after {last:?}, work {running} runs"))
                .await;
        }
        last = next;
    }
}

/// Writes without a look at its lease until it is told to end or refused, and then takes its time.
async fn lead(log: Log, cx: LeaseContext) {
    RUNNING.store(cx.fence(), Ordering::Relaxed);
    let mut random = Random::new(cx.fence());
    let writes = random.below(150);
    for _ in 0..writes {
        let written = log.write(Writes::Fenced, cx.fence()).await;
        if matches!(written, Err(Failed::Refused)) || cx.cancellation().is_cancelled() {
            break;
        }
        pause(5).await;
    }
    pause(20 + random.below(500)).await;
    // The last moment of the work.
    RUNNING.store(0, Ordering::Relaxed);
}

/// Whether `next` may be seen after `last`. `Released` and `Follower` last for a pause and are
/// always seen. The others may be over before anybody looks: `Candidate` where the answer is there
/// at once, `Leader` where the process was stopped for longer than its lease, `StoppingWork` where
/// the work has ended already.
fn follows(last: ElectorState, next: ElectorState) -> bool {
    use ElectorState::{Candidate, Follower, Leader, Released, StoppingWork};
    match (last, next) {
        (Follower | Released, _) => true,
        (Candidate, next) => next != Candidate,
        (Leader { fence }, StoppingWork { fence: stopping }) => fence == stopping,
        (Leader { .. } | StoppingWork { .. }, Released) => true,
        _ => false,
    }
}

#[test]
fn checker_knows_which_states_follow_each_other() {
    use ElectorState::{Candidate, Follower, Leader, Released, StoppingWork};
    let term = [
        Follower,
        Candidate,
        Leader { fence: 2 },
        StoppingWork { fence: 2 },
        Released,
        Candidate,
    ];
    // Whatever of it is over at once.
    for (first, &last) in term[..4].iter().enumerate() {
        assert!(term[first + 1..5].iter().all(|&next| follows(last, next)));
    }
    assert!(follows(Released, Candidate));
    let never = [
        (Leader { fence: 2 }, Leader { fence: 3 }),
        (Leader { fence: 2 }, Candidate),
        (Leader { fence: 2 }, Follower),
        (Leader { fence: 2 }, StoppingWork { fence: 1 }),
        (StoppingWork { fence: 2 }, Leader { fence: 2 }),
        (StoppingWork { fence: 2 }, Candidate),
        (StoppingWork { fence: 2 }, Follower),
    ];
    assert!(never.iter().all(|&(last, next)| !follows(last, next)));
}

/// Hurts the processes of five electors, whose log is in `database` and whose leases are there,
/// too, or in `leases`.
async fn hurt_processes(database: &str, leases: &str) {
    let log = Log::at(database).await;
    log.create_tables().await;
    let mut random = Random::new(seed());
    let start = |number: u64| {
        let role = format!("{number} {database} {leases}");
        ChildProcess::start("electors::process", &role).unwrap()
    };
    let mut processes: Vec<_> = (0..CANDIDATES as u64).map(start).collect();
    let mut faults = 0;
    for_soak_time(async || {
        let victim = random.below(CANDIDATES as u64) as usize;
        if random.below(3) == 0 {
            // Dropped, the old one is killed.
            processes[victim] = start(random.below(1 << 32));
        } else {
            processes[victim].send("STOP");
            pause(random.below(MAX_FAULT)).await;
            processes[victim].send("CONT");
        }
        pause(random.below(300)).await;
        faults += 1;
    })
    .await;
    drop(processes);
    assert_eq!(log.notes().await, [""; 0]);
    let fences = log.fences().await;
    let terms = checked(&fences);
    println!("{faults} faults, {terms} terms, {} writes", fences.len());
    assert!(faults >= 5 && terms >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_stopped_and_killed_electors_follow_each_other_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    hurt_processes(file.to_str().unwrap(), "beside").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_stopped_and_killed_electors_follow_each_other_on_postgres() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let url = server.create_database("log").await.unwrap();
    hurt_processes(&url, "beside").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_stopped_and_killed_electors_follow_each_other_on_redis() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    hurt_processes(file.to_str().unwrap(), &server.url()).await;
}
