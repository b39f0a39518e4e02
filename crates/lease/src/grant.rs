use std::{sync::Arc, time::Duration};

use steadfast_clock::Instant;

/// How long a lease may last without being renewed.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// A lease that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// What is leased.
    pub key: Arc<str>,
    /// Who holds it, for people.
    pub owner: Arc<str>,
    /// The fencing token: higher than that of every earlier grant of this key. Send it along with
    /// every write, and let the target refuse a write with a lower one than it has seen (Kleppmann,
    /// "How to do distributed locking", 2016).
    pub fence: u64,
    /// Until when the holder may rely on it: the backend holds it for longer than that.
    pub valid_until: Instant,
}

impl Grant {
    /// A grant of `ttl` that was asked for at `sent`, the moment before the request went out: from
    /// there, less the [`drift`](Self::drift), counts its validity, of [`MAX_TTL`] at most.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_clock::{Clock, SystemClock};
    /// use steadfast_lease::Grant;
    ///
    /// let sent = SystemClock.monotonic();
    /// let grant = Grant::new("nightly", "host-1", 7, sent, Duration::from_secs(10));
    /// assert_eq!(grant.valid_until, sent + Duration::from_millis(9_898));
    /// ```
    #[must_use]
    pub fn new(
        key: impl Into<Arc<str>>,
        owner: impl Into<Arc<str>>,
        fence: u64,
        sent: Instant,
        ttl: Duration,
    ) -> Self {
        Self {
            key: key.into(),
            owner: owner.into(),
            fence,
            valid_until: sent + ttl.min(MAX_TTL).saturating_sub(Self::drift(ttl)),
        }
    }

    /// How far the clocks of holder and backend may run apart within `ttl`: one per cent, and
    /// 2 ms for their resolution (the figures of Redis's Redlock).
    #[must_use]
    pub fn drift(ttl: Duration) -> Duration {
        ttl / 100 + Duration::from_millis(2)
    }
}
