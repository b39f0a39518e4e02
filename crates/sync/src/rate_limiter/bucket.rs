use std::time::Duration;

use super::{Quota, gcra};
use crate::rt::atomic::{AtomicU32, AtomicU64, Ordering};

/// Stands in for the arrival time while the quota or the credit is changed.
const CHANGING: u64 = u64::MAX;

/// Beyond this the limiter's own time starts anew.
const MAX_CREDIT: u64 = 1 << 62;

/// A quota and what is spent of it, to be spent without a lock by a single compare-and-swap.
///
/// The swap shows that quota and credit belong together and are still in force, because an arrival
/// time comes only once: it grows when units are spent, and what would set it back sets the
/// limiter's own time forward instead, by credit. While these change, the arrival time is
/// `CHANGING`, and who has read some of the old ones and some of the new ones fails to swap. (Own
/// time starts anew after 146 years of credit, which sensible quotas do not collect.)
#[derive(Debug)]
pub(super) struct Bucket {
    /// The theoretical arrival time, in nanoseconds of the limiter's own time.
    arrival: AtomicU64,
    interval: AtomicU64,
    burst: AtomicU32,
    /// How far the limiter's own time is ahead of the clock.
    credit: AtomicU64,
    /// The arrival time by the clock if nothing had been spent: past, unless the burst was raised.
    /// It belongs to the line's mutex.
    unspent: AtomicU64,
}

impl Bucket {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            arrival: AtomicU64::new(0),
            interval: AtomicU64::new(quota.cost(1)),
            burst: AtomicU32::new(quota.burst()),
            credit: AtomicU64::new(0),
            unspent: AtomicU64::new(0),
        }
    }

    /// Takes units if they are there; else says after how long they will be there at least. Only
    /// under the line's mutex is that time exact, and only there does a failure mean anything.
    #[inline]
    pub(super) fn spend(&self, clock: u64, units: u32) -> Result<(), Duration> {
        let mut arrival = self.arrival.load(Ordering::Acquire);
        loop {
            if arrival == CHANGING {
                return Err(Duration::ZERO);
            }
            let (quota, now) = (self.quota(), self.own_time(clock));
            let spent = gcra::spend(&quota, arrival, now, units)?;
            match self.arrival.compare_exchange_weak(
                arrival,
                spent,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => arrival = current,
            }
        }
    }

    /// The quota in force; exact under the line's mutex.
    #[inline]
    pub(super) fn quota(&self) -> Quota {
        let interval = self.interval.load(Ordering::Acquire);
        Quota::from_parts(interval, self.burst.load(Ordering::Acquire))
    }

    /// The arrival time by the clock. Call it under the line's mutex.
    pub(super) fn arrival(&self) -> u64 {
        let arrival = self.arrival.load(Ordering::Acquire);
        arrival.saturating_sub(self.credit.load(Ordering::Acquire))
    }

    /// Changes the quota; the level stays. Call it under the line's mutex.
    pub(super) fn set_quota(&self, clock: u64, quota: Quota) {
        self.change(clock, |old, ahead| {
            let carry_over = |ahead| gcra::carry_over(&old, &quota, ahead);
            let unspent = self.unspent.load(Ordering::Relaxed).saturating_sub(clock);
            self.unspent
                .store(clock + carry_over(unspent), Ordering::Relaxed);
            (quota, carry_over(ahead))
        });
    }

    /// Gives units back. Call it under the line's mutex.
    pub(super) fn refund(&self, clock: u64, units: u32) {
        self.change(clock, |quota, ahead| {
            let unspent = self.unspent.load(Ordering::Relaxed).saturating_sub(clock);
            let ahead = ahead.saturating_sub(quota.cost(units.into()));
            (quota, ahead.max(unspent))
        });
    }

    fn change(&self, clock: u64, change: impl FnOnce(Quota, u64) -> (Quota, u64)) {
        let last = self.arrival.swap(CHANGING, Ordering::AcqRel);
        let mut credit = self.credit.load(Ordering::Acquire);
        let ahead = last.saturating_sub(self.own_time(clock));
        let (quota, ahead) = change(self.quota(), ahead);
        let mut arrival = clock + credit + ahead;
        if arrival <= last {
            credit += last + 1 - arrival;
            arrival = last + 1;
        }
        if credit > MAX_CREDIT {
            arrival -= credit;
            credit = 0;
        }
        self.interval.store(quota.cost(1), Ordering::Release);
        self.burst.store(quota.burst(), Ordering::Release);
        self.credit.store(credit, Ordering::Release);
        self.arrival.store(arrival, Ordering::Release);
    }

    #[inline]
    fn own_time(&self, clock: u64) -> u64 {
        clock.saturating_add(self.credit.load(Ordering::Acquire))
    }
}

/// A bucket, shared with those who do not lock, or only under the mutex.
pub(super) enum Account<'a> {
    Shared(&'a Bucket),
    Owned { quota: Quota, arrival: &'a mut u64 },
}

impl Account<'_> {
    pub(super) fn quota(&self) -> Quota {
        match self {
            Account::Shared(bucket) => bucket.quota(),
            Account::Owned { quota, .. } => *quota,
        }
    }

    pub(super) fn spend(&mut self, now: u64, units: u32) -> Result<(), Duration> {
        match self {
            Account::Shared(bucket) => bucket.spend(now, units),
            Account::Owned { quota, arrival } => {
                **arrival = gcra::spend(quota, **arrival, now, units)?;
                Ok(())
            }
        }
    }

    /// How many units are there.
    pub(super) fn level(&self, now: u64) -> u32 {
        gcra::level(&self.quota(), self.ahead(now))
    }

    pub(super) fn arrival(&self) -> u64 {
        match self {
            Account::Shared(bucket) => bucket.arrival(),
            Account::Owned { arrival, .. } => **arrival,
        }
    }

    pub(super) fn ahead(&self, now: u64) -> u64 {
        self.arrival().saturating_sub(now)
    }
}
