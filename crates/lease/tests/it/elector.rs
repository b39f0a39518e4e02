use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_clock::Clock;
use steadfast_lease::{
    Elector, ElectorState, LeaseContext, LossReason, WhenWorkReturns, test_util::Fault,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::support::{Faulty, SEC, TTL, clock, faulty, lock};

/// What happened, in order, and when.
#[derive(Clone)]
struct Log {
    clock: Arc<dyn Clock>,
    entries: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            entries: Arc::default(),
        }
    }

    fn add(&self, entry: String) {
        self.entries.lock().expect("no panic").push(entry);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.entries.lock().expect("no panic"))
    }
}

/// An elector whose work logs its beginning, waits to be told to end, takes `stop_for` to do so and
/// logs its end.
fn elector(backend: &Faulty, log: &Log, owner: &'static str, stop_for: Duration) -> Elector {
    let lock = lock(backend, &log.clock, owner);
    let log = log.clone();
    Elector::builder(lock).start(move |cx| {
        let log = log.clone();
        async move {
            log.add(format!("{owner} begins {}", cx.fence()));
            cx.cancellation().cancelled().await;
            sleep(stop_for).await;
            log.add(format!("{owner} ends {}", cx.fence()));
        }
    })
}

async fn leads(elector: &Elector) -> u64 {
    let mut state = elector.subscribe();
    let state = state
        .wait_for(|state| state.is_leader())
        .await
        .expect("it goes on");
    state.fence().expect("leaders have one")
}

async fn until(elector: &Elector, wanted: ElectorState) {
    let mut state = elector.subscribe();
    state
        .wait_for(|state| *state == wanted)
        .await
        .expect("it goes on");
}

/// The states that follow, up to the end.
async fn states(mut state: watch::Receiver<ElectorState>) -> Vec<ElectorState> {
    let mut seen = vec![*state.borrow_and_update()];
    while state.changed().await.is_ok() {
        seen.push(*state.borrow_and_update());
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn of_five_electors_one_leads_at_a_time() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let log = Log::new(&clock);
    let electors =
        ["a", "b", "c", "d", "e"].map(|owner| elector(&backend, &log, owner, Duration::ZERO));
    let mut fences = Vec::new();
    for _ in 0..20 {
        sleep(4 * SEC).await;
        let leaders: Vec<_> = electors.iter().filter(|e| e.state().is_leader()).collect();
        assert_eq!(leaders.len(), 1);
        fences.push(leaders[0].state().fence().unwrap());
        leaders[0].resign(SEC).await.unwrap();
        assert!(electors.iter().all(|e| !e.state().is_leader()));
    }
    // Each resignation has a successor, with the next fence.
    assert!(fences.iter().copied().eq(1..=20), "{fences:?}");
    let entries = log.take();
    for (term, pair) in entries.chunks(2).enumerate() {
        let fence = term + 1;
        assert!(pair[0].ends_with(&format!(" begins {fence}")), "{pair:?}");
        assert!(pair[1].ends_with(&format!(" ends {fence}")), "{pair:?}");
    }
    assert_eq!(entries.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn states_of_a_term_follow_each_other_to_the_end() {
    let clock = clock();
    let backend = faulty(&clock, |call| match call {
        0 => Fault::Refused,
        _ => Fault::Late(SEC),
    });
    let elector = elector(&backend, &Log::new(&clock), "a", SEC);
    let seen = tokio::task::LocalSet::new()
        .run_until(async {
            let seen = tokio::task::spawn_local(states(elector.subscribe()));
            leads(&elector).await;
            tokio::task::yield_now().await;
            elector.shutdown(3 * SEC).await.unwrap();
            seen.await.unwrap()
        })
        .await;
    let fence = 1;
    assert_eq!(
        seen,
        [
            ElectorState::Candidate,
            ElectorState::Follower,
            ElectorState::Candidate,
            ElectorState::Leader { fence },
            ElectorState::StoppingWork { fence },
            ElectorState::Released,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn resignation_hands_over_at_once_and_only_after_the_work_has_returned() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let log = Log::new(&clock);
    let a = elector(&backend, &log, "a", 5 * SEC);
    assert_eq!(leads(&a).await, 1);
    let b = elector(&backend, &log, "b", 5 * SEC);
    let begun = clock.monotonic();
    a.resign(6 * SEC).await.unwrap();
    assert_eq!(clock.monotonic() - begun, 5 * SEC);
    assert_eq!(a.state(), ElectorState::Released);
    assert_eq!(leads(&b).await, 2);
    let waited = clock.monotonic() - begun - 5 * SEC;
    assert!(waited <= 3 * SEC, "{waited:?}");
    b.resign(6 * SEC).await.unwrap();
    assert_eq!(leads(&a).await, 3);
    assert_eq!(
        log.take(),
        [
            "a begins 1",
            "a ends 1",
            "b begins 2",
            "b ends 2",
            "a begins 3"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn work_that_ignores_its_cancellation_keeps_the_lease_and_stopping_work() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let log = Log::new(&clock);
    let a = elector(&backend, &log, "a", 100 * TTL);
    leads(&a).await;
    let b = elector(&backend, &log, "b", Duration::ZERO);
    for _ in 0..10 {
        let error = a.resign(TTL).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "elector of `key` is still stopping its work with fence 1 30s after it was told to \
             step down"
        );
        assert_eq!(a.state(), ElectorState::StoppingWork { fence: 1 });
        assert!(!b.state().is_leader());
    }
    // The resignation goes on, though nobody waits for it.
    assert_eq!(leads(&b).await, 2);
    assert_eq!(log.take(), ["a begins 1", "a ends 1", "b begins 2"]);
}

#[tokio::test(start_paused = true)]
async fn resigned_work_is_told_so_by_its_context() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let (send, mut contexts) = mpsc::channel(1);
    let elector = Elector::builder(lock(&backend, &clock, "a")).start(move |cx: LeaseContext| {
        let send = send.clone();
        async move {
            send.send(cx.clone()).await.unwrap();
            cx.cancellation().cancelled().await;
        }
    });
    let cx = contexts.recv().await.unwrap();
    cx.check().unwrap();
    // At its first poll, before any task had its turn.
    let _ = timeout(Duration::ZERO, elector.resign(SEC)).await;
    assert!(cx.cancellation().is_cancelled());
    assert_eq!(cx.check().unwrap_err().reason, LossReason::Resigned);
    assert_eq!(cx.remaining(), Duration::ZERO);
    assert!(!elector.state().is_leader());
}

#[tokio::test(start_paused = true)]
async fn loss_demotes_before_another_leads() {
    for fault in [
        Fault::Broken,
        Fault::Refused,
        Fault::Hangs,
        Fault::AnswerHangs,
    ] {
        let clock = clock();
        let (cut, broken) = watch::channel(false);
        let sick = faulty(&clock, move |_| match *broken.borrow() {
            true => fault,
            false => Fault::None,
        });
        let log = Log::new(&clock);
        let a = elector(&sick, &log, "a", SEC);
        assert_eq!(leads(&a).await, 1);
        let mut state = a.subscribe();
        cut.send(true).unwrap();
        let stopping = ElectorState::StoppingWork { fence: 1 };
        let demoted = *state.wait_for(|state| !state.is_leader()).await.unwrap();
        assert_eq!(demoted, stopping);
        let rival = sick.inner().try_acquire_now().await;
        assert_eq!(rival, None, "{fault:?}: demoted too late");
        sleep(2 * TTL).await;
        assert!(!a.state().is_leader());
        assert_eq!(log.take(), ["a begins 1", "a ends 1"]);
        cut.send(false).unwrap();
        assert!(leads(&a).await > 1);
    }
}

#[tokio::test(start_paused = true)]
async fn elector_that_was_asleep_does_not_say_that_it_leads() {
    let manual = Arc::new(steadfast_clock::ManualClock::ticking(
        std::time::SystemTime::UNIX_EPOCH,
    ));
    let clock: Arc<dyn Clock> = Arc::clone(&manual) as _;
    let backend = faulty(&clock, |_| Fault::None);
    let a = elector(&backend, &Log::new(&clock), "a", Duration::ZERO);
    leads(&a).await;
    manual.advance(TTL);
    assert!(a.subscribe().borrow().is_leader(), "no task had its turn");
    assert_eq!(a.state(), ElectorState::StoppingWork { fence: 1 });
}

#[tokio::test(start_paused = true)]
async fn dropped_elector_drops_the_work_and_leaves_the_lease_to_expire() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let log = Log::new(&clock);
    let a = elector(&backend, &log, "a", Duration::ZERO);
    leads(&a).await;
    let state = a.subscribe();
    let begun = clock.monotonic();
    drop(a);
    let seen = states(state).await;
    assert_eq!(
        *seen.last().unwrap(),
        ElectorState::StoppingWork { fence: 1 }
    );
    let b = elector(&backend, &log, "b", Duration::ZERO);
    assert_eq!(leads(&b).await, 2);
    let waited = clock.monotonic() - begun;
    assert!((TTL..=TTL + 3 * SEC).contains(&waited), "{waited:?}");
    assert_eq!(log.take(), ["a begins 1", "b begins 2"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_returns_is_followed_by_another_term_or_the_end() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    for (then, terms) in [
        (WhenWorkReturns::CampaignAgain, 10),
        (WhenWorkReturns::Stop, 1),
    ] {
        let (send, mut fences) = mpsc::channel(100);
        let elector = Elector::builder(lock(&backend, &clock, "a"))
            .when_work_returns(then)
            .start(move |cx: LeaseContext| {
                let send = send.clone();
                async move { send.send(cx.fence()).await.unwrap() }
            });
        // A term every 3 s, the retry pause.
        sleep(28 * SEC).await;
        assert_eq!(fences.len(), terms, "{then:?}");
        assert_eq!(elector.state(), ElectorState::Released);
        elector.shutdown(SEC).await.unwrap();
        let mut last = 0;
        while let Some(fence) = fences.recv().await {
            assert!(fence > last, "{fence} after {last}");
            last = fence;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_work_releases_the_lease_and_another_term_follows() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    let a = Elector::builder(lock(&backend, &clock, "a"))
        .when_work_returns(WhenWorkReturns::Stop)
        .start(|cx: LeaseContext| async move {
            if cx.fence() == 1 {
                std::panic::resume_unwind(Box::new("work"));
            }
            cx.cancellation().cancelled().await;
        });
    until(&a, ElectorState::Released).await;
    assert_eq!(backend.inner().try_acquire_now().await, Some(2));
    sleep(TTL).await;
    assert_eq!(leads(&a).await, 3);
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_a_candidate_releases_what_its_last_attempt_was_granted() {
    let clock = clock();
    let backend = faulty(&clock, |call| match call {
        0 => Fault::AnswerLate(10 * SEC),
        _ => Fault::None,
    });
    let log = Log::new(&clock);
    let a = elector(&backend, &log, "a", Duration::ZERO);
    sleep(SEC).await;
    assert_eq!(backend.inner().try_acquire_now().await, None, "taken");
    let error = a.shutdown(2 * SEC).await.unwrap_err();
    assert_eq!(error.state, ElectorState::Candidate);
    a.shutdown(8 * SEC).await.unwrap();
    assert_eq!(a.state(), ElectorState::Released);
    assert_eq!(backend.inner().try_acquire_now().await, Some(2));
    assert!(log.take().is_empty(), "the work was not begun");
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_a_follower_ends_at_once() {
    let clock = clock();
    let backend = faulty(&clock, |_| Fault::None);
    assert_eq!(backend.inner().try_acquire_now().await, Some(1));
    let a = elector(&backend, &Log::new(&clock), "a", Duration::ZERO);
    until(&a, ElectorState::Follower).await;
    a.resign(Duration::ZERO).await.unwrap();
    let begun = clock.monotonic();
    a.shutdown(SEC).await.unwrap();
    assert_eq!(clock.monotonic(), begun);
    assert_eq!(states(a.subscribe()).await, [ElectorState::Released]);
}

trait TryAcquireNow {
    /// The fence of a lease taken by somebody else now.
    async fn try_acquire_now(&self) -> Option<u64>;
}

impl<B: steadfast_lease::LockBackend> TryAcquireNow for B {
    async fn try_acquire_now(&self) -> Option<u64> {
        let grant = self
            .try_acquire("key", "rival", SEC)
            .await
            .expect("no fault");
        grant.map(|grant| grant.fence)
    }
}
