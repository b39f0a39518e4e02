use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use steadfast_clock::{Clock, Instant, SystemClock};
use tracing::trace;

use self::gcra::{check_units, spend};
use crate::{
    RateError,
    config::DEFAULT_MAX_WAITERS,
    rt::{
        self, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    timeout::current_waker,
    wait_queue::{Queue, Waiters},
};

mod builder;
mod gcra;
mod keyed;
mod quota;

pub use self::{
    builder::RateLimiterBuilder,
    keyed::{KeyedRateLimiter, KeyedRateLimiterBuilder},
    quota::Quota,
};

/// Lets through no more than a [`Quota`] allows.
///
/// # Guarantees
///
/// - In any window of time, at most burst + rate × window units are let through.
/// - Waiters are served in strict FIFO order, and [`try_acquire`](Self::try_acquire) never passes
///   one. At most [`max_waiters`](RateLimiterBuilder::max_waiters) callers wait.
/// - A unit is taken at the moment when its caller is let through. A waiter that is dropped has
///   taken nothing, and those behind it move up.
/// - The whole state is one atomic number and, while somebody waits, a queue with one timer.
///
/// Waiting ends with tokio's timers, which tick in milliseconds. A waiter that comes first and is
/// not polled holds up those behind it.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{Quota, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = RateLimiter::new(Quota::per_second(100)?.with_burst(2)?);
/// limiter.try_acquire(2)?;
/// assert!(limiter.try_acquire(1).is_err());
/// limiter.acquire(1).await?;
/// # Ok(()) }
/// ```
pub struct RateLimiter {
    name: String,
    quota: Quota,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
    origin: Instant,
    /// The theoretical arrival time, in nanoseconds since the origin.
    arrival: AtomicU64,
    /// How many wait, to be seen without locking the line.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

/// Those who wait. Only the first of them looks at the time and takes units.
#[derive(Debug)]
struct Line {
    queue: Queue,
    waiters: Waiters<u32>,
    /// What they wait for in all.
    units: u64,
}

impl RateLimiter {
    /// A limiter without a name, with the default bound on waiters and the machine's clock.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        let clock = Arc::new(SystemClock);
        Self::from_parts(String::new(), quota, DEFAULT_MAX_WAITERS, clock)
    }

    /// Configures a limiter.
    #[must_use]
    pub fn builder(quota: Quota) -> RateLimiterBuilder {
        RateLimiterBuilder::new(quota)
    }

    fn from_parts(name: String, quota: Quota, max_waiters: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            quota,
            max_waiters,
            origin: clock.monotonic(),
            clock,
            arrival: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            line: Mutex::new(Line {
                queue: Queue::new(),
                waiters: Waiters::new(),
                units: 0,
            }),
        }
    }

    /// Takes `units` if they are there and nobody waits for them.
    ///
    /// # Errors
    ///
    /// [`RateError::Denied`] with the time after which they would be there,
    /// [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`].
    pub fn try_acquire(&self, units: u32) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        if self.waiting.load(Ordering::Acquire) == 0 && self.spend(units).is_ok() {
            return Ok(());
        }
        let retry_after = self.foreseen_wait(units);
        trace!(name = self.name, units, ?retry_after, "denied");
        Err(RateError::Denied { retry_after })
    }

    /// Takes `units`, in turn, as soon as they are there.
    ///
    /// # Errors
    ///
    /// At once [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`] and
    /// [`RateError::QueueFull`].
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place and has taken
    /// nothing.
    pub async fn acquire(&self, units: u32) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        if self.waiting.load(Ordering::Acquire) == 0 && self.spend(units).is_ok() {
            return Ok(());
        }
        let waker = current_waker().await;
        let place = self.enqueue(units, waker)?;
        poll_fn(|cx| place.poll_first(cx)).await;
        while let Err(wait) = self.spend(units) {
            rt::sleep(wait).await;
        }
        trace!(name = self.name, units, "let through after a wait");
        Ok(())
    }

    /// Takes `units`, in turn, unless that takes longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RateError::WouldExceed`], at once if the wait as foreseen is too long; and those of
    /// [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, units: u32, timeout: Duration) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        let wait = self.foreseen_wait(units);
        if wait > timeout {
            return Err(RateError::WouldExceed { wait, timeout });
        }
        let outcome = {
            let acquire = pin!(self.acquire(units));
            crate::timeout::timeout(timeout, acquire).await
        };
        outcome.unwrap_or_else(|| {
            // Longer than foreseen, because somebody ahead is not polled.
            let wait = timeout.saturating_add(self.foreseen_wait(units));
            Err(RateError::WouldExceed { wait, timeout })
        })
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// How many units could be taken at this moment, not counting those who wait.
    #[must_use]
    pub fn available(&self) -> u32 {
        let ahead = self
            .arrival
            .load(Ordering::Acquire)
            .saturating_sub(self.now());
        let earned = self.quota.tolerance().saturating_sub(ahead) / self.quota.cost(1);
        u32::try_from(earned).unwrap_or(u32::MAX)
    }

    /// The quota.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> u64 {
        gcra::nanos_since(self.origin, self.clock.monotonic())
    }

    /// Takes units if they are there, whoever waits; else says how long that will take at least.
    fn spend(&self, units: u32) -> Result<(), Duration> {
        let now = self.now();
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let spent = spend(&self.quota, arrival, now, units.into());
            let spent = spent.map_err(Duration::from_nanos)?;
            match self.arrival.compare_exchange_weak(
                arrival,
                spent,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => arrival = current,
            }
        }
    }

    /// How long it takes until units are there for a caller that comes now.
    fn foreseen_wait(&self, units: u32) -> Duration {
        let now = self.now();
        let line = self.line();
        let ahead = line.units;
        let arrival = self.arrival.load(Ordering::Acquire);
        drop(line);
        gcra::foresee(&self.quota, arrival, now, ahead, units)
    }

    fn enqueue(&self, units: u32, waker: Waker) -> Result<Place<'_>, RateError> {
        let max_waiters = self.max_waiters;
        let mut line = self.line();
        if line.queue.len() >= max_waiters {
            drop(line);
            return Err(RateError::QueueFull { max_waiters });
        }
        let Line { queue, waiters, .. } = &mut *line;
        let waiter = waiters.push_back(queue, waker, units);
        line.units += u64::from(units);
        self.waiting.store(line.queue.len(), Ordering::Release);
        drop(line);
        let limiter = self;
        Ok(Place { limiter, waiter })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        rt::lock(&self.line)
    }
}

/// A place in the line. Dropping it lets the next one move up.
struct Place<'a> {
    limiter: &'a RateLimiter,
    waiter: usize,
}

impl Place<'_> {
    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut line = self.limiter.line();
        let is_first = line.queue.front() == Some(self.waiter);
        let unused = if is_first {
            Some(waker)
        } else {
            line.waiters.set_waker(self.waiter, waker)
        };
        drop(line);
        drop(unused);
        if is_first {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.limiter.line();
        let was_first = line.queue.front() == Some(self.waiter);
        let Line { queue, waiters, .. } = &mut *line;
        waiters.unlink(queue, self.waiter);
        let removed = waiters.remove(self.waiter);
        let next = queue.front().filter(|_| was_first);
        let wake = next.and_then(|next| waiters.take_waker(next));
        if let Some((units, _)) = &removed {
            line.units -= u64::from(*units);
        }
        self.limiter
            .waiting
            .store(line.queue.len(), Ordering::Release);
        drop(line);
        if let Some(waker) = wake {
            waker.wake();
        }
        drop(removed);
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("available", &self.available())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
