use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Decision, Retry, RetryError};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    BuildError, OutboxClaim, OutboxSignal, OutboxStore, PortError, Push, Settlement,
    wall::{self, Forward},
};

/// The longest that a user's events wait after pushes have failed again and again.
const MAX_POSTPONEMENT: Duration = Duration::from_secs(60);

/// Pushes each user's pending events to live clients, in order and at least once.
///
/// # Guarantees
///
/// - An event is pending from the transaction that stores it until its push has succeeded: no
///   crash loses it. It may be pushed twice, with the same offset and id.
/// - Events of one user are pushed in the order of their offsets, also when several relays share
///   a store.
/// - A failing push is repeated a few times with jittered backoff, then the user's events are
///   put off for 1 s, 2 s, and so on up to 60 s. Other users wait for it for one poll at most.
/// - An event whose push fails for good is passed over: it is in the log, and its offset is
///   missed by clients.
/// - A claim is given back well before its lease ends, with what is not pushed by then. A wall
///   clock that is set back delays nothing.
/// - At most `batch_users` users are claimed at a time, with at most `batch_events` events each.
#[derive(Clone)]
pub struct OutboxRelay {
    store: Arc<dyn OutboxStore>,
    push: Arc<dyn Push>,
    signal: OutboxSignal,
    clock: Arc<dyn Clock>,
    time: Arc<Forward>,
    retry: Arc<Retry>,
    store_retry: Arc<Retry>,
    poll: Duration,
    lease: Duration,
    batch_users: u32,
    batch_events: u32,
}

/// Sets up an [`OutboxRelay`].
#[derive(Clone)]
pub struct OutboxRelayBuilder {
    store: Arc<dyn OutboxStore>,
    push: Arc<dyn Push>,
    signal: OutboxSignal,
    clock: Arc<dyn Clock>,
    poll: Duration,
    lease: Duration,
    batch_users: u32,
    batch_events: u32,
}

impl OutboxRelayBuilder {
    /// Replaces the clock; the machine's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how often to look for events of which no signal told; 1 s by default.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets after what time the events claimed by a relay that has died are pushed by another;
    /// 30 s by default, at least 10 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how many users are served at the same time; 64 by default.
    #[must_use]
    pub fn batch_users(mut self, users: u32) -> Self {
        self.batch_users = users;
        self
    }

    /// Sets how many events of a user are pushed before others get their turn; 64 by default.
    #[must_use]
    pub fn batch_events(mut self, events: u32) -> Self {
        self.batch_events = events;
        self
    }

    /// Builds the relay.
    ///
    /// # Errors
    ///
    /// If a batch or the poll is zero, or the lease is shorter than 10 s.
    pub fn build(self) -> Result<OutboxRelay, BuildError> {
        let invalid = |field, problem| Err(BuildError { field, problem });
        if self.batch_users == 0 {
            return invalid("batch_users", "must be at least one");
        }
        if self.batch_events == 0 {
            return invalid("batch_events", "must be at least one");
        }
        if self.poll.is_zero() {
            return invalid("poll", "must be longer than nothing");
        }
        if self.lease < Duration::from_secs(10) {
            return invalid("lease", "must be at least 10 s");
        }
        let retry = |attempts, deadline| {
            let retry = Retry::builder().max_attempts(attempts).deadline(deadline);
            retry.build().map(Arc::new).map_err(|_| BuildError {
                field: "lease",
                problem: "leaves no time for retries",
            })
        };
        Ok(OutboxRelay {
            // A claim is settled well before its lease ends, so that nobody pushes beside it.
            retry: retry(4, self.lease / 5)?,
            store_retry: retry(3, self.lease / 5)?,
            store: self.store,
            push: self.push,
            signal: self.signal,
            clock: self.clock,
            time: Arc::default(),
            poll: self.poll,
            lease: self.lease,
            batch_users: self.batch_users,
            batch_events: self.batch_events,
        })
    }
}

impl OutboxRelay {
    /// Starts to set a relay up; `signal` is the one that
    /// [`Notifications`](crate::Notifications) raises.
    #[must_use]
    pub fn builder(
        store: Arc<dyn OutboxStore>,
        push: Arc<dyn Push>,
        signal: OutboxSignal,
    ) -> OutboxRelayBuilder {
        OutboxRelayBuilder {
            store,
            push,
            signal,
            clock: Arc::new(SystemClock),
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            batch_users: 64,
            batch_events: 64,
        }
    }

    /// Makes what other relays had claimed or put off pending at once, and says how many users'
    /// events these are.
    ///
    /// For a start after a crash, so that nobody waits for the lease of a dead process: call it
    /// before [`run`](Self::run), and only where no other process has a relay on the store.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has happened as a whole or not at all.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn release(&self) -> Result<u64, PortError> {
        self.store.release(self.time.now(&*self.clock)).await
    }

    /// Pushes what is pending, whenever the signal is raised and at each poll, until `stop` is
    /// cancelled.
    ///
    /// After `stop` no push begins, those under way end, and what is left of their claims is
    /// given back. It may be called again afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops at once; what it had claimed is pending again when the lease ends.
    pub async fn run(&self, stop: CancellationToken) {
        let mut deliveries = JoinSet::new();
        while !stop.is_cancelled() {
            let claimed = self.claim(&mut deliveries, &stop).await;
            let idle = match claimed {
                Ok(claimed) => claimed == 0,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "cannot claim pending events");
                    true
                }
            };
            if idle {
                let woken = timeout(self.poll, self.signal.raised());
                let _ = stop.run_until_cancelled(woken).await;
            }
            // Claims are cheapest in batches; but a slow push keeps others waiting for one poll.
            let _ = timeout(self.poll, all(&mut deliveries)).await;
        }
        all(&mut deliveries).await;
    }

    /// Pushes everything that is pending and not put off, and says how many claims that took.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// If the store cannot be asked for pending events.
    pub async fn drain(&self) -> Result<usize, PortError> {
        let never = CancellationToken::new();
        let mut deliveries = JoinSet::new();
        let mut claims = 0;
        loop {
            match self.claim(&mut deliveries, &never).await? {
                0 => return Ok(claims),
                claimed => claims += claimed,
            }
            all(&mut deliveries).await;
        }
    }

    /// Claims as many users as there are places left, and begins to deliver their events.
    async fn claim(
        &self,
        deliveries: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<usize, PortError> {
        let under_way = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        let places = self.batch_users.saturating_sub(under_way);
        if places == 0 {
            return Ok(0);
        }
        let now = self.time.now(&*self.clock);
        let until = wall::after(now, self.lease);
        let claims = self
            .store
            .claim(now, until, places, self.batch_events)
            .await?;
        let claimed = claims.len();
        for claim in claims {
            let (relay, stop) = (self.clone(), stop.clone());
            deliveries.spawn(async move { relay.deliver(&claim, &stop).await });
        }
        Ok(claimed)
    }

    async fn deliver(&self, claim: &OutboxClaim, stop: &CancellationToken) {
        let settlement = self.push_all(claim, stop).await;
        let settled = self
            .store_retry
            .run(|_| self.store.settle(claim, settlement), decide)
            .await;
        if let Err(error) = settled {
            let error: &dyn std::error::Error = &error;
            warn!(user = %claim.user_id, error, "a claim waits for its lease to end");
        }
    }

    async fn push_all(&self, claim: &OutboxClaim, stop: &CancellationToken) -> Settlement {
        // Half of the lease is for what is under way then, and for the settlement.
        let end = self.clock.monotonic() + self.lease / 2;
        let mut pushed = None;
        for event in &claim.events {
            if stop.is_cancelled() || self.clock.monotonic() >= end {
                break;
            }
            let push = self.retry.run(
                |_| self.push.push(claim.user_id, &claim.epoch, event),
                decide,
            );
            match push.await {
                Ok(()) => {}
                Err(RetryError::NotRetryable { last, .. }) => {
                    let error: &dyn std::error::Error = &last;
                    error!(user = %claim.user_id, offset = event.offset, error, "an event cannot be pushed");
                }
                Err(error) => {
                    let now = self.time.now(&*self.clock);
                    let at = wall::after(now, postponement(claim.failures));
                    let error: &dyn std::error::Error = &error;
                    warn!(user = %claim.user_id, offset = event.offset, error, "a push is put off");
                    return Settlement::RetryAt { pushed, at };
                }
            }
            pushed = Some(event.offset);
        }
        let at = self.time.now(&*self.clock);
        Settlement::Pushed { pushed, at }
    }
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("poll", &self.poll)
            .field("lease", &self.lease)
            .field("batch_users", &self.batch_users)
            .field("batch_events", &self.batch_events)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OutboxRelayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelayBuilder").finish_non_exhaustive()
    }
}

/// Waits until every delivery has ended.
///
/// # Cancel safety
///
/// Dropped, the others go on.
async fn all(deliveries: &mut JoinSet<()>) {
    while let Some(delivered) = deliveries.join_next().await {
        if let Err(error) = delivered {
            let error: &dyn std::error::Error = &error;
            error!(
                error,
                "a push panicked; its events wait for their lease to end"
            );
        }
    }
}

fn decide(error: &PortError) -> Decision {
    if error.is_transient() {
        Decision::Retry
    } else {
        Decision::Stop
    }
}

fn postponement(failures: u32) -> Duration {
    let seconds = 1_u64.checked_shl(failures).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(MAX_POSTPONEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postponement_doubles_up_to_a_minute() {
        let seconds =
            [0, 1, 5, 6, 63, 64, u32::MAX].map(|failures| postponement(failures).as_secs());
        assert_eq!(seconds, [1, 2, 32, 60, 60, 60, 60]);
    }
}
