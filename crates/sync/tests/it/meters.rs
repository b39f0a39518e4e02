//! What named primitives tell the `metrics` facade.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use steadfast_clock::ManualClock;
use steadfast_sync::{
    AsyncLock, CircuitBreaker, Debounce, Decision, InitCell, KeyedRateLimiter, Quota, RateLimiter,
    Registry, Retry, RetryBudget, Semaphore, SingleFlight,
};

use crate::support::{EPOCH, millis, poll};

/// Keeps everything that it is told, by `metric{kind,name}` or `metric{kind,name,event}`.
#[derive(Default)]
struct Recording {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Samples>>>,
}

#[derive(Default)]
struct Samples(Mutex<Vec<f64>>);

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Recording {
    fn counter(&self, key: &str) -> Option<u64> {
        let counters = self.counters.lock().unwrap();
        counters.get(key).map(|count| count.load(Ordering::Relaxed))
    }

    fn gauge(&self, key: &str) -> Option<f64> {
        let gauges = self.gauges.lock().unwrap();
        let bits = gauges.get(key).map(|gauge| gauge.load(Ordering::Relaxed));
        bits.map(f64::from_bits)
    }

    fn samples(&self, key: &str) -> Vec<f64> {
        let histograms = self.histograms.lock().unwrap();
        histograms
            .get(key)
            .map_or(Vec::new(), |samples| samples.0.lock().unwrap().clone())
    }

    /// The names of all metrics, without labels.
    fn metrics(&self) -> BTreeSet<String> {
        let mut keys: Vec<_> = self.counters.lock().unwrap().keys().cloned().collect();
        keys.extend(self.gauges.lock().unwrap().keys().cloned());
        keys.extend(self.histograms.lock().unwrap().keys().cloned());
        let metric = |key: String| key.split('{').next().unwrap().to_owned();
        keys.into_iter().map(metric).collect()
    }
}

fn place<T: Default>(map: &Mutex<BTreeMap<String, Arc<T>>>, key: &Key) -> Arc<T> {
    let labels: Vec<_> = key.labels().map(metrics::Label::value).collect();
    let key = format!("{}{{{}}}", key.name(), labels.join(","));
    Arc::clone(map.lock().unwrap().entry(key).or_default())
}

impl Recorder for Recording {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(place(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(place(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(place(&self.histograms, key))
    }
}

/// Runs a future under paused time while a recorder listens, and a look at the registry after it.
fn recorded(registry: &Registry, run: impl Future<Output = ()>) -> Recording {
    let recording = Recording::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recording, || {
        runtime.block_on(async {
            run.await;
            let watch = registry.watch(millis(1_000)).unwrap();
            let looks = tokio::time::timeout(millis(10), watch);
            assert!(looks.await.is_err(), "a watch never ends");
        });
    });
    recording
}

#[test]
fn named_semaphore_tells_waits_timeouts_and_what_is_in_use() {
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = Semaphore::builder(3).name("workers").registry(&registry);
    let semaphore = builder.clock(clock).build().unwrap();
    let unnamed = Semaphore::builder(1).registry(&registry).build().unwrap();
    let seen = recorded(&registry, async {
        let held = semaphore.acquire_owned(2).await.unwrap();
        semaphore.acquire_timeout(2, millis(5)).await.unwrap_err();
        let release = async {
            tokio::time::sleep(millis(20)).await;
            drop(held);
        };
        let (granted, ()) = tokio::join!(semaphore.acquire(3), release);
        drop(granted.unwrap());
        std::mem::forget(semaphore.try_acquire(1).unwrap());
        std::mem::forget(unnamed.try_acquire(1).unwrap());
    });
    let labels = "{semaphore,workers}";
    assert_eq!(
        seen.samples(&format!("steadfast_sync_wait_seconds{labels}")),
        [0.020]
    );
    let gauges = [("capacity", 3.0), ("in_use", 1.0), ("waiting", 0.0)];
    for (gauge, value) in gauges {
        let key = format!("steadfast_sync_{gauge}{labels}");
        assert_eq!(seen.gauge(&key), Some(value), "{key}");
    }
    let total = format!("steadfast_sync_acquired_total{labels}");
    assert_eq!(seen.counter(&total), Some(3));
    let timeouts = "steadfast_sync_events_total{semaphore,workers,timeout}";
    assert_eq!(seen.counter(timeouts), Some(1));
    assert_eq!(
        seen.gauges.lock().unwrap().len(),
        gauges.len(),
        "the unnamed one is silent"
    );
}

#[test]
fn named_lock_tells_waits_timeouts_and_who_waits() {
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = AsyncLock::builder().name("users").registry(&registry);
    let lock = Arc::new(builder.clock(clock).build().unwrap());
    let seen = recorded(&registry, async {
        let held = lock.lock("alice").await.unwrap();
        let late = lock.lock_timeout("alice", millis(5));
        late.await.unwrap_err();
        let release = async {
            tokio::time::sleep(millis(20)).await;
            drop(held);
        };
        let (granted, ()) = tokio::join!(lock.lock("alice"), release);
        drop(granted.unwrap());
        std::mem::forget(lock.try_lock("bob").unwrap());
        // Still queued when the registry is looked at.
        let mut waiting = Box::pin(Arc::clone(&lock).lock_owned("bob"));
        assert!(poll(&mut waiting).is_pending());
        std::mem::forget(waiting);
    });
    let labels = "{async_lock,users}";
    assert_eq!(
        seen.samples(&format!("steadfast_sync_wait_seconds{labels}")),
        [0.020]
    );
    for (gauge, value) in [("locked", 1.0), ("waiting", 1.0)] {
        let key = format!("steadfast_sync_{gauge}{labels}");
        assert_eq!(seen.gauge(&key), Some(value), "{key}");
    }
    let total = format!("steadfast_sync_acquired_total{labels}");
    assert_eq!(seen.counter(&total), Some(3));
    let timeouts = "steadfast_sync_events_total{async_lock,users,timeout}";
    assert_eq!(seen.counter(timeouts), Some(1));
}

#[test]
fn named_limiter_tells_waits_refusals_and_what_is_left() {
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let quota = Quota::per_second(10).unwrap().with_burst(2).unwrap();
    let builder = RateLimiter::builder(quota).name("api").registry(&registry);
    let limiter = builder.clock(clock).build().unwrap();
    let seen = recorded(&registry, async {
        limiter.try_acquire(2).unwrap();
        limiter.try_acquire(1).unwrap_err();
        limiter.acquire(1).await.unwrap();
        tokio::time::sleep(millis(100)).await;
    });
    let labels = "{rate_limiter,api}";
    assert_eq!(
        seen.samples(&format!("steadfast_sync_wait_seconds{labels}")),
        [0.1]
    );
    for (gauge, value) in [("available", 1.0), ("waiting", 0.0)] {
        let key = format!("steadfast_sync_{gauge}{labels}");
        assert_eq!(seen.gauge(&key), Some(value), "{key}");
    }
    let denied = format!("steadfast_sync_denied_total{labels}");
    assert_eq!(seen.counter(&denied), Some(1));
}

#[test]
fn named_policy_tells_delays_ends_and_its_budget() {
    let registry = Registry::new();
    let budget = Arc::new(RetryBudget::new(10, 1.0).unwrap());
    let builder = Retry::builder().name("payments").registry(&registry);
    let retry = builder.budget(budget).max_attempts(2).build().unwrap();
    let seen = recorded(&registry, async {
        let fail = |_| async { Err::<(), _>(()) };
        let later = Decision::RetryAfter(millis(250));
        retry.run(fail, |()| later).await.unwrap_err();
        retry
            .run(|_| async { Ok::<_, ()>(()) }, |()| Decision::Stop)
            .await
            .unwrap();
    });
    assert_eq!(
        seen.samples("steadfast_sync_wait_seconds{retry,payments}"),
        [0.25]
    );
    for (metric, value) in [("attempts_total", 3), ("succeeded_total", 1)] {
        let key = format!("steadfast_sync_{metric}{{retry,payments}}");
        assert_eq!(seen.counter(&key), Some(value), "{key}");
    }
    let exhausted = "steadfast_sync_events_total{retry,payments,exhausted}";
    assert_eq!(seen.counter(exhausted), Some(1));
    let tokens = "steadfast_sync_budget_tokens{retry,payments}";
    assert_eq!(seen.gauge(tokens), Some(9.0));
    assert_eq!(
        seen.gauge("steadfast_sync_running{retry,payments}"),
        Some(0.0)
    );
}

/// The metrics in the table of the README.
fn documented() -> BTreeSet<String> {
    let readme = include_str!("../../README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `steadfast_sync_"));
    rows.map(|row| format!("steadfast_sync_{}", row.split('`').next().unwrap()))
        .collect()
}

#[test]
fn named_breaker_tells_its_state_and_refusals() {
    let registry = Registry::new();
    let builder = CircuitBreaker::builder().name("bank").registry(&registry);
    let breaker = builder.consecutive_failures(2).build().unwrap();
    let seen = recorded(&registry, async {
        for _ in 0..2 {
            let _ = breaker.try_acquire().unwrap().failure();
        }
        breaker.try_acquire().unwrap_err();
    });
    let labels = "{circuit_breaker,bank}";
    let state = format!("steadfast_sync_breaker_state{labels}");
    assert_eq!(seen.gauge(&state), Some(2.0), "open");
    for metric in ["opened_total", "rejected_total"] {
        let key = format!("steadfast_sync_{metric}{labels}");
        assert_eq!(seen.counter(&key), Some(1), "{key}");
    }
    let opened = "steadfast_sync_events_total{circuit_breaker,bank,open}";
    assert_eq!(seen.counter(opened), Some(1));
}

#[test]
fn table_of_the_readme_has_the_metrics_that_there_are() {
    let registry = Registry::new();
    let quota = Quota::per_second(1).unwrap();
    let budget = Arc::new(RetryBudget::new(10, 1.0).unwrap());
    let lock = AsyncLock::builder().name("lock").registry(&registry);
    let lock = lock.build().unwrap();
    let retry = Retry::builder().name("retry").registry(&registry);
    let retry = retry.budget(budget).build().unwrap();
    let semaphore = Semaphore::builder(1).name("a").registry(&registry);
    let limiter = RateLimiter::builder(quota).name("a").registry(&registry);
    let keyed = KeyedRateLimiter::<u8>::builder(quota).name("a");
    let debounce = Debounce::<()>::builder(millis(1)).name("a");
    let breaker = CircuitBreaker::builder().name("a").registry(&registry);
    let flights = SingleFlight::<u8, (), ()>::builder().name("a");
    let cell = InitCell::<(), ()>::builder().name("a").registry(&registry);
    let others = (
        semaphore.build().unwrap(),
        limiter.build().unwrap(),
        keyed.registry(&registry).build().unwrap(),
        debounce.registry(&registry).build().unwrap(),
        breaker.build().unwrap(),
        flights.registry(&registry).build().unwrap(),
        cell.build().unwrap(),
    );
    let seen = recorded(&registry, async {
        let _held = lock.try_lock(1).unwrap();
        lock.lock_timeout(1, millis(1)).await.unwrap_err();
        let once = |attempt| async move { if attempt == 1 { Err(()) } else { Ok(()) } };
        retry.run(once, |()| Decision::Retry).await.unwrap();
    });
    assert_eq!(seen.metrics(), documented());
    drop(others);
}
