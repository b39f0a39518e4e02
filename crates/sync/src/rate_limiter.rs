use std::{fmt, panic::Location, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use self::{
    bucket::{Account, Bucket},
    builder::Options,
    line::{Caller, Desk, Line, Request, Waiter},
    place::{Counter, Place},
    settings::Settings,
};
use crate::{
    PrimitiveState, RateError, Registry, Snapshot,
    registry::Inspect,
    rt::{
        self, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    timeout::Patience,
    wait_queue::{Waiters, WakeList},
};

mod bucket;
mod builder;
mod gcra;
mod keyed;
mod line;
mod place;
mod quota;
mod settings;
mod snapshot;

pub use self::{
    builder::RateLimiterBuilder,
    keyed::{KeyedRateLimiter, KeyedRateLimiterBuilder},
    quota::Quota,
    snapshot::{KeyedRateLimiterSnapshot, RateLimiterSnapshot},
};

/// Lets through no more than a [`Quota`] allows.
///
/// # Guarantees
///
/// - In any window of time, at most burst + rate × window units are let through. If
///   [`set_quota`](Self::set_quota) is called during the window, that is the burst that is in
///   force when the window begins, plus what each rate earns while it is in force; units that
///   [`refund`](Self::refund) gives back come on top.
/// - Waiters are served in strict FIFO order, and [`try_acquire`](Self::try_acquire) never passes
///   one. At most [`max_waiters`](RateLimiterBuilder::max_waiters) callers wait.
/// - A unit is taken at the moment when its caller is let through. A waiter that is dropped has
///   taken nothing, and those behind it move up.
/// - A caller that is let through at once locks nothing.
///
/// Waiting ends with tokio's timers, which tick in milliseconds. A waiter that comes first and is
/// not polled holds up those behind it, unless
/// [`revoke_unclaimed`](RateLimiterBuilder::revoke_unclaimed) sends it to the end of the line.
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
    core: Arc<Core>,
}

/// What the limiter and the registry share.
struct Core {
    settings: Settings,
    bucket: Bucket,
    /// How many wait, to be seen without locking the line.
    waiting: AtomicUsize,
    line: Mutex<(Line, Waiters<Waiter>)>,
}

impl RateLimiter {
    /// A limiter without a name, with the default bound on waiters and the machine's clock.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        let options = Options::new();
        let registry = options.registry.clone();
        Self::from_parts(quota, options.settings("rate_limiter"), &registry)
    }

    /// Configures a limiter.
    #[must_use]
    pub fn builder(quota: Quota) -> RateLimiterBuilder {
        RateLimiterBuilder::new(quota)
    }

    fn from_parts(quota: Quota, settings: Settings, registry: &Registry) -> Self {
        let core = Arc::new(Core {
            settings,
            bucket: Bucket::new(quota),
            waiting: AtomicUsize::new(0),
            line: Mutex::new((Line::new(), Waiters::new())),
        });
        registry.add(&core.settings.name, &core);
        Self { core }
    }

    /// Takes `units` if they are there and nobody waits for them.
    ///
    /// # Errors
    ///
    /// [`RateError::Denied`] with the time after which they would be there,
    /// [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`].
    #[inline]
    pub fn try_acquire(&self, units: u32) -> Result<(), RateError> {
        let taken = self.core.take(units);
        taken.map_err(|error| self.core.settings.refuse(units, error))
    }

    /// Takes `units`, in turn, as soon as they are there.
    ///
    /// # Errors
    ///
    /// At once [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`] and
    /// [`RateError::QueueFull`]; `ExceedsBurst` also when the burst is lowered below `units`
    /// during the wait.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place and has taken
    /// nothing.
    #[track_caller]
    pub fn acquire(&self, units: u32) -> impl Future<Output = Result<(), RateError>> {
        self.core.acquire(units, None, Location::caller())
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
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        units: u32,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), RateError>> {
        let patience = Patience::For(timeout);
        self.core.acquire(units, Some(patience), Location::caller())
    }

    /// Takes `units`, in turn, unless that takes until after `deadline`, which other primitives
    /// may share.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout). Units that are there are taken even after
    /// the deadline.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_until(
        &self,
        units: u32,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), RateError>> {
        let patience = Patience::Until(deadline);
        self.core.acquire(units, Some(patience), Location::caller())
    }

    /// Gives back units that were taken for something that was not done.
    ///
    /// That brings the level to where it would be if nothing had ever been taken, at most, and so
    /// never above the burst. A wait that is dropped needs no refund: it has taken nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use steadfast_sync::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_minute(10)?);
    /// limiter.try_acquire(10)?;
    /// limiter.refund(2);
    /// assert_eq!(limiter.available(), 2);
    /// # Ok(()) }
    /// ```
    pub fn refund(&self, units: u32) {
        let clock = self.core.settings.now();
        let wake = self.core.desk(|desk| {
            self.core.bucket.refund(clock, units);
            desk.line.wake_first(desk.waiters)
        });
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    /// Changes the quota at once.
    ///
    /// The number of units at hand stays what it is, but for what exceeds the new burst: a higher
    /// burst is earned before it can be spent. What is missing is earned at the new rate. Waiters
    /// stay in line and wait for as long as the new quota says; those that want more than the new
    /// burst are refused.
    pub fn set_quota(&self, quota: Quota) {
        let clock = self.core.settings.now();
        let wakes = self.core.desk(|desk| {
            self.core.bucket.set_quota(clock, quota);
            let mut wakes = WakeList::default();
            let Desk { line, waiters, .. } = desk;
            line.refuse_above(waiters, quota.burst(), clock, &mut wakes);
            wakes
        });
        wakes.wake();
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.core.waiting.load(Ordering::Acquire)
    }

    /// How many units could be taken at this moment, not counting those who wait.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.snapshot().available
    }

    /// How long the first waiter has waited.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Duration> {
        self.snapshot().oldest_wait
    }

    /// The quota in force.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.core.desk(|desk| desk.bucket.quota())
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.settings.name
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> RateLimiterSnapshot {
        self.core.snapshot()
    }
}

impl Core {
    /// Takes units if they are there and nobody waits, without a lock if they are.
    #[inline]
    fn take(&self, units: u32) -> Result<(), RateError> {
        let now = self.settings.now();
        let is_free = units > 0 && self.waiting.load(Ordering::Acquire) == 0;
        if !is_free || self.bucket.spend(now, units).is_err() {
            self.desk(|mut desk| desk.take(now, units))?;
        }
        self.settings.report_taken(units);
        Ok(())
    }

    async fn acquire(
        &self,
        units: u32,
        patience: Option<Patience>,
        caller: Caller,
    ) -> Result<(), RateError> {
        match self.take(units) {
            Err(RateError::Denied { .. }) => {}
            outcome => return outcome,
        }
        let settings = &self.settings;
        let mut request = Request::new(settings, units, patience, caller).await;
        let enqueued = self.desk(|mut desk| desk.enqueue(&mut request, 0, settings.max_waiters));
        let waiter = enqueued.map_err(|error| settings.refuse(units, error))?;
        Place::new(self, waiter).wait(request).await
    }

    fn snapshot(&self) -> RateLimiterSnapshot {
        let now = self.settings.now();
        self.desk(|desk| {
            let since = desk.line.oldest(desk.waiters);
            RateLimiterSnapshot {
                quota: desk.bucket.quota(),
                available: desk.bucket.level(now),
                waiting: desk.line.len(),
                oldest_wait: since.map(|since| Duration::from_nanos(now.saturating_sub(since))),
                denied: self.settings.refused(),
            }
        })
    }
}

impl Counter for Core {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn desk<R>(&self, work: impl FnOnce(Desk<'_>) -> R) -> R {
        let mut guard = rt::lock(&self.line);
        let (line, waiters) = &mut *guard;
        let done = work(Desk {
            line,
            waiters,
            bucket: Account::Shared(&self.bucket),
        });
        self.waiting.store(guard.0.len(), Ordering::Release);
        done
    }
}

impl Inspect for Core {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.settings.name.clone(),
            state: PrimitiveState::RateLimiter(self.snapshot()),
        }
    }

    fn look(&self) {
        let (now, thresholds) = (self.settings.now(), &self.settings.thresholds);
        let (long, look) = self.desk(|mut desk| {
            let long = desk.line.long_wait(desk.waiters, now, thresholds);
            (long, desk.look_ahead(now, thresholds).0)
        });
        self.settings.settle(look);
        if let Some(overdue) = long {
            self.settings.report(overdue);
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("RateLimiter")
            .field("name", &self.name())
            .field("quota", &snapshot.quota)
            .field("available", &snapshot.available)
            .field("waiting", &snapshot.waiting)
            .finish_non_exhaustive()
    }
}
