//! Ways to run an operation again and again.

use std::{
    hint::black_box,
    io,
    ops::Range,
    sync::{Arc, OnceLock},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, unconstrained, yield_now},
};

use crate::harness::Contender;

/// How many threads run the tasks of [`in_tasks`].
const WORKERS: usize = 2;

/// How often a task makes way for the other worker to come, at most: some tenths of a second.
const MAX_YIELDS: usize = 1_000_000;

/// One call after the other, without anything asynchronous.
pub(crate) fn plainly<R>(
    name: impl Into<String>,
    mut operation: impl FnMut() -> R + 'static,
) -> Contender {
    let sampler = move |operations: u64| {
        timed(|| {
            for _ in 0..operations {
                black_box(operation());
            }
        })
    };
    Contender::new(name, Box::new(sampler))
}

/// As [`plainly`], with the number of the operation.
pub(crate) fn numbered<R>(
    name: impl Into<String>,
    mut operation: impl FnMut(u64) -> R + 'static,
) -> Contender {
    let mut number = 0;
    plainly(name, move || {
        number += 1;
        operation(number)
    })
}

/// One after the other in one task, with the number of the operation.
///
/// It runs on a current-thread runtime, outside tokio's budget: some contenders spend it and
/// others do not, and it is the primitive that is measured.
pub(crate) fn alone(
    name: impl Into<String>,
    mut operation: impl AsyncFnMut(u64) + 'static,
) -> io::Result<Contender> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let sampler = move |operations: u64| {
        timed(|| {
            runtime.block_on(unconstrained(async {
                for number in 0..operations {
                    operation(black_box(number)).await;
                }
            }));
        })
    };
    Ok(Contender::new(name, Box::new(sampler)))
}

/// Spread over this many tasks, on two workers; each task gets the numbers of its operations.
///
/// The tasks spend tokio's budget as they do outside of a benchmark. The time counts from the
/// moment at which every worker runs a task.
pub(crate) fn in_tasks<F>(
    name: impl Into<String>,
    tasks: u64,
    task: impl Fn(Range<u64>) -> F + 'static,
) -> io::Result<Contender>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()?;
    let sampler = move |operations: u64| {
        let share = operations.div_ceil(tasks);
        let all = (0..tasks).map(|index| task(index * share..(index + 1) * share));
        let took = join(&runtime, all);
        // The shares are rounded up, so somewhat more was done than asked for.
        took.mul_f64(operations as f64 / (share * tasks) as f64)
    };
    Ok(Contender::new(name, Box::new(sampler)).threaded())
}

/// 1000000 as 1 000 000.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut groups: Vec<_> = digits.as_bytes().rchunks(3).collect();
    groups.reverse();
    String::from_utf8_lossy(&groups.join(&b' ')).into_owned()
}

/// How long this takes.
pub(crate) fn timed(run: impl FnOnce()) -> Duration {
    let start = now();
    run();
    start.elapsed()
}

/// One of `keys`, in an order that is no order: neighbours in time are not neighbours in a table.
pub(crate) fn scattered(number: u64, keys: u64) -> u64 {
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (hash * keys) >> 32
}

/// Holds tasks up until two workers run them: else the first tasks are done alone before the other
/// worker has woken up.
#[derive(Default)]
struct Gate {
    first: OnceLock<ThreadId>,
    opened: OnceLock<Instant>,
}

impl Gate {
    async fn pass(&self) {
        let mut yields = 0;
        while self.opened.get().is_none() {
            let this = thread::current().id();
            if *self.first.get_or_init(|| this) != this || yields == MAX_YIELDS {
                self.opened.get_or_init(now);
                return;
            }
            yields += 1;
            yield_now().await;
        }
    }
}

fn join<F>(runtime: &Runtime, tasks: impl Iterator<Item = F>) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let gate = Arc::new(Gate::default());
    let mut set = JoinSet::new();
    for task in tasks {
        let gate = Arc::clone(&gate);
        let gated = async move {
            gate.pass().await;
            task.await;
        };
        set.spawn_on(gated, runtime.handle());
    }
    runtime.block_on(set.join_all());
    gate.opened.get().map(Instant::elapsed).unwrap_or_default()
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "benchmarks measure the real time"
    )]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn scattered_numbers_meet_every_key() {
        for keys in [1, 64, 1000] {
            let mut seen: Vec<_> = (0..keys * 32)
                .map(|number| scattered(number, keys))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, (0..keys).collect::<Vec<_>>());
        }
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        let numbers = [0, 999, 1000, 10_000, 1_000_000];
        assert_eq!(
            numbers.map(grouped),
            ["0", "999", "1 000", "10 000", "1 000 000"]
        );
    }

    #[test]
    fn tasks_do_every_operation_once() {
        let sum = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&sum);
        let contender = in_tasks("sum", 8, move |numbers| {
            let sum = Arc::clone(&shared);
            async move {
                for number in numbers {
                    sum.fetch_add(number, Ordering::Relaxed);
                }
            }
        });
        contender.unwrap().sample(80);
        assert_eq!(sum.load(Ordering::Relaxed), (0..80).sum());
    }
}
