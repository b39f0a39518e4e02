//! Single flight: landing, leaving and joining at the same time.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::{
    future::block_on,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use steadfast_sync::SingleFlight;

use super::explore;

type Group = SingleFlight<u8, usize, ()>;

/// What is waited for: opened once, it wakes whoever was polled last.
#[derive(Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = true;
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Waits for a gate, and counts how often it was begun.
struct Work(Arc<Gate>, usize);

impl Future for Work {
    type Output = Result<usize, ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut gate = self.0.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(Ok(self.1));
        }
        let old = gate.1.replace(cx.waker().clone());
        drop(gate);
        drop(old);
        Poll::Pending
    }
}

struct Shared {
    group: Group,
    gate: Arc<Gate>,
    begun: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            group: Group::new(),
            gate: Arc::default(),
            begun: AtomicUsize::new(0),
        })
    }

    async fn run(&self) -> usize {
        let begun = || {
            let number = self.begun.fetch_add(1, Ordering::SeqCst);
            Work(Arc::clone(&self.gate), number)
        };
        self.group.run(1, begun).await.unwrap()
    }

    /// A caller that is polled once and dropped.
    fn give_up(&self) {
        let mut run = Box::pin(self.run());
        let _ = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

fn spawn(
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) + Send + 'static,
) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

#[test]
fn every_caller_is_woken_whoever_polls_when_the_work_may_go_on() {
    explore(|| {
        let shared = Shared::new();
        let caller = spawn(&shared, |shared| {
            block_on(shared.run());
        });
        let opener = spawn(&shared, |shared| shared.gate.open());
        block_on(shared.run());
        caller.join().unwrap();
        opener.join().unwrap();
        assert_eq!(shared.group.in_flight(), 0);
    });
}

#[test]
fn caller_is_served_though_another_one_gives_up_at_any_moment() {
    explore(|| {
        let shared = Shared::new();
        let quitter = spawn(&shared, Shared::give_up);
        let opener = spawn(&shared, |shared| shared.gate.open());
        block_on(shared.run());
        quitter.join().unwrap();
        opener.join().unwrap();
        assert_eq!(shared.group.in_flight(), 0);
        assert_eq!(Arc::strong_count(&shared.gate), 1, "work is left over");
    });
}

#[test]
fn parked_caller_does_not_hold_up_the_one_that_is_polled() {
    explore(|| {
        let shared = Shared::new();
        let mut parked = Box::pin(shared.run());
        let _ = parked
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let opener = spawn(&shared, |shared| shared.gate.open());
        let polled = spawn(&shared, |shared| assert_eq!(block_on(shared.run()), 0));
        opener.join().unwrap();
        polled.join().unwrap();
        drop(parked);
        assert_eq!(shared.group.in_flight(), 0);
    });
}
