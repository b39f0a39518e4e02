use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Decision, Retry};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    Admission, ChannelClaim, ChannelSender, DelivererBuilder, DeliveryBacklog, DeliveryLimits,
    DeliveryState, DeliveryStore, DeliveryVerdict, DueDelivery, Message, MessageContent, PortError,
    SendError,
    endpoints::Endpoints,
    wall::{self, Forward},
};

/// How often a delivery is sent before it is a dead letter: over about 20 hours.
pub const MAX_ATTEMPTS: u32 = 8;

/// How many notifications one digest carries at most; more come in the next one.
pub const MAX_DIGEST: u32 = 50;

/// The wait after the first attempt; each later one is four times as long.
const FIRST_WAIT: Duration = Duration::from_secs(20);

/// The longest wait between two attempts, also if the other side asks for a longer one.
const MAX_WAIT: Duration = Duration::from_secs(12 * 60 * 60);

/// How long after it was due a delivery is given up, however often it was put off.
const MAX_AGE: Duration = Duration::from_secs(72 * 60 * 60);

/// How long a send that is under way at the stop may take to end.
const LAST_SEND: Duration = Duration::from_secs(2);

/// Sends what is due on the users' channels, at least once.
///
/// # Guarantees
///
/// - A delivery is pending from the transaction that stores its notification until the other side
///   has taken it, or it is a dead letter: no crash loses it. It may be sent twice, with the same
///   message id; what was part of a digest, perhaps as part of another one with an id of its own.
/// - Deliveries of one channel are sent one after the other; those that are part of a digest and
///   due go out as one message of up to [`MAX_DIGEST`] notifications.
/// - A send that fails is repeated with exponential, jittered waits, [`MAX_ATTEMPTS`] times; one
///   that can never work is a dead letter at once.
/// - An endpoint that does not answer a user five times in a row is left alone for 30 s, then
///   longer, up to 10 min; what is put off by that does not count as an attempt, for three days at most.
/// - A user gets as many messages as [`DeliveryLimits`] allow; what is more is put off. A digest is
///   one message, and one that is sent again is not counted again.
/// - A slow or failing channel takes one of `batch_channels` places while one message is under
///   way to it, for at most half of a lease; it holds up nothing else.
#[derive(Clone)]
pub struct Deliverer {
    pub(crate) store: Arc<dyn DeliveryStore>,
    pub(crate) sender: Arc<dyn ChannelSender>,
    pub(crate) limits: Arc<DeliveryLimits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) time: Arc<Forward>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) store_retry: Arc<Retry>,
    pub(crate) poll: Duration,
    pub(crate) lease: Duration,
    pub(crate) batch_channels: u32,
}

/// What became of a message.
enum Sending {
    /// It was sent, with this outcome.
    Done(Result<(), SendError>),
    /// It was not sent, and neither is the rest of its claim.
    PutOff { wait: Duration, cause: String },
    /// It was not sent, or it is unknown whether it arrived: the service stops.
    Stopped,
}

impl Deliverer {
    /// Starts to set a deliverer up.
    #[must_use]
    pub fn builder(
        store: Arc<dyn DeliveryStore>,
        sender: Arc<dyn ChannelSender>,
        limits: Arc<DeliveryLimits>,
    ) -> DelivererBuilder {
        DelivererBuilder {
            store,
            sender,
            limits,
            clock: Arc::new(SystemClock),
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(60),
            batch_channels: 64,
        }
    }

    /// Makes the claims of a dead predecessor void, so that what it held is sent at once.
    ///
    /// Right only while no other process is at work on the store.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has happened or not; call again.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn release(&self) -> Result<u64, PortError> {
        self.store.release().await
    }

    /// How much waits, and how much was given up.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn backlog(&self) -> Result<DeliveryBacklog, PortError> {
        self.store.backlog().await
    }

    /// Sends what is due until `stop` is cancelled; what is under way then has 2 s to end, and is
    /// sent again later if it does not.
    ///
    /// # Cancel safety
    ///
    /// Dropped, its claims end with their leases.
    pub async fn run(&self, stop: CancellationToken) {
        let mut claims = JoinSet::new();
        while !stop.is_cancelled() {
            let idle = match self.claim(&mut claims, &stop).await {
                Ok(claimed) => claimed == 0,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "cannot claim due deliveries");
                    true
                }
            };
            if idle {
                let _ = stop.run_until_cancelled(sleep(self.poll)).await;
            }
            // Claims are cheapest in batches; but a slow send keeps others waiting for one poll.
            let _ = timeout(self.poll, all(&mut claims)).await;
        }
        all(&mut claims).await;
    }

    /// Sends everything that is due, and says how many claims that took.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// If the store cannot be asked for what is due.
    pub async fn drain(&self) -> Result<usize, PortError> {
        let (never, mut claims, mut count) = (CancellationToken::new(), JoinSet::new(), 0);
        loop {
            match self.claim(&mut claims, &never).await? {
                0 => return Ok(count),
                claimed => count += claimed,
            }
            all(&mut claims).await;
        }
    }

    /// Claims as many channels as there are places left, and begins to send what is due on them.
    async fn claim(
        &self,
        claims: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<usize, PortError> {
        let under_way = u32::try_from(claims.len()).unwrap_or(u32::MAX);
        let places = self.batch_channels.saturating_sub(under_way);
        if places == 0 {
            return Ok(0);
        }
        let now = self.time.now(&*self.clock);
        let until = wall::after(now, self.lease);
        let claimed = self.store.claim(now, until, places, MAX_DIGEST).await?;
        let count = claimed.len();
        for claim in claimed {
            let (deliverer, stop) = (self.clone(), stop.clone());
            claims.spawn(async move { deliverer.serve(&claim, &stop).await });
        }
        Ok(count)
    }

    /// Sends what a claim holds, message by message, and gives the claim back.
    async fn serve(&self, claim: &ChannelClaim, stop: &CancellationToken) {
        // Half of the lease is for what is under way then, and for what the store has to be told.
        let end = self.clock.monotonic() + self.lease / 2;
        let mut left = messages(claim).into_iter();
        while let Some((message, carried)) = left.next() {
            if stop.is_cancelled() || self.clock.monotonic() >= end {
                break;
            }
            let verdicts = match message {
                None => carried.iter().map(|due| self.cancelled(due)).collect(),
                Some(message) => match self.send(claim, &message, &carried, stop).await {
                    Sending::Done(outcome) => self.verdicts(&carried, &outcome),
                    Sending::PutOff { wait, cause } => {
                        // What comes after it would fare no better.
                        let rest = left.by_ref().flat_map(|(_, carried)| carried);
                        let all: Vec<_> = carried.into_iter().chain(rest).collect();
                        self.put_off(&all, wait, &cause)
                    }
                    Sending::Stopped => break,
                },
            };
            if !self.settle(claim, &verdicts).await {
                break;
            }
        }
        let given_back = self
            .store_retry
            .run(|_| self.store.give_back(claim), decide)
            .await;
        if let Err(error) = given_back {
            let error: &dyn std::error::Error = &error;
            warn!(channel = %claim.channel.channel.id, error, "a claim waits for its lease to end");
        }
    }

    /// Sends one message, if its endpoint answers and its user may have one now.
    async fn send(
        &self,
        claim: &ChannelClaim,
        message: &Message,
        carried: &[&DueDelivery],
        stop: &CancellationToken,
    ) -> Sending {
        let channel = &claim.channel.channel;
        let endpoint = self.sender.endpoint(&channel.target);
        // Each user apart: what one lets fail is no reason to put off what others get there.
        let whose = format!("{endpoint} of {}", channel.user_id);
        let Ok(breaker) = self.endpoints.breaker(&whose) else {
            return Sending::Stopped;
        };
        let permit = match breaker.try_acquire() {
            Ok(permit) => permit,
            Err(open) => {
                let wait = open.retry_after.unwrap_or(FIRST_WAIT);
                let cause = format!("{endpoint} did not answer lately and is left alone");
                return Sending::PutOff { wait, cause };
            }
        };
        // What is sent again was counted the first time.
        let is_new = carried.iter().all(|due| due.delivery.attempts == 0);
        let is_urgent = carried.iter().any(|due| due.delivery.urgent);
        let now = self.time.now(&*self.clock);
        if is_new
            && let Admission::NotBefore(at) = self.limits.check(channel.user_id, is_urgent, now)
        {
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            let cause = "its user has got as many deliveries as an hour allows".to_owned();
            return Sending::PutOff { wait, cause };
        }
        let stopped = async {
            stop.cancelled().await;
            sleep(LAST_SEND).await;
        };
        let outcome = tokio::select! {
            biased;
            outcome = self.sender.send(&claim.channel, message) => outcome,
            () = stopped => return Sending::Stopped,
        };
        match &outcome {
            Err(SendError::Unreachable { .. }) => permit.failure(),
            _ => permit.success(),
        };
        Sending::Done(outcome)
    }

    /// What an outcome means for everything that one message carried; what is sent again is sent
    /// again together.
    fn verdicts(
        &self,
        carried: &[&DueDelivery],
        outcome: &Result<(), SendError>,
    ) -> Vec<DeliveryVerdict> {
        let now = self.time.now(&*self.clock);
        let wait = match outcome {
            Ok(()) | Err(SendError::Refused { .. }) => Duration::ZERO,
            Err(SendError::Unreachable { .. }) => backoff(carried),
            Err(SendError::Busy { retry_after, .. }) => {
                let asked = retry_after.unwrap_or_default().min(MAX_WAIT);
                backoff(carried).max(asked)
            }
        };
        let verdict = |due: &&DueDelivery| {
            let attempts = due.delivery.attempts.saturating_add(1);
            let state = match outcome {
                Ok(()) => DeliveryState::Sent,
                Err(SendError::Refused { .. }) => DeliveryState::Dead,
                Err(_) if attempts >= MAX_ATTEMPTS || is_too_old(due, now) => DeliveryState::Dead,
                Err(_) => DeliveryState::Pending,
            };
            DeliveryVerdict {
                id: due.delivery.id,
                state,
                attempts,
                available_at: wall::after(now, wait),
                error: outcome.as_ref().err().map(ToString::to_string),
            }
        };
        carried.iter().map(verdict).collect()
    }

    /// Puts off deliveries, all of them to the same time.
    fn put_off(
        &self,
        carried: &[&DueDelivery],
        wait: Duration,
        cause: &str,
    ) -> Vec<DeliveryVerdict> {
        let now = self.time.now(&*self.clock);
        let verdict = |due: &&DueDelivery| DeliveryVerdict {
            id: due.delivery.id,
            state: match is_too_old(due, now) {
                true => DeliveryState::Dead,
                false => DeliveryState::Pending,
            },
            attempts: due.delivery.attempts,
            available_at: wall::after(now, spread(carried, 0, wait)),
            error: Some(cause.to_owned()),
        };
        carried.iter().map(verdict).collect()
    }

    fn cancelled(&self, due: &DueDelivery) -> DeliveryVerdict {
        DeliveryVerdict {
            id: due.delivery.id,
            state: DeliveryState::Cancelled,
            attempts: due.delivery.attempts,
            available_at: self.time.now(&*self.clock),
            error: Some("its notification was deleted".to_owned()),
        }
    }

    /// Tells the store; false if the claim is void or the store fails.
    async fn settle(&self, claim: &ChannelClaim, verdicts: &[DeliveryVerdict]) -> bool {
        let now: Timestamp = self.time.now(&*self.clock);
        let settled = self
            .store_retry
            .run(|_| self.store.settle(claim, verdicts, now), decide)
            .await;
        settled.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            warn!(channel = %claim.channel.channel.id, error, "what was sent is sent again");
            false
        })
    }
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer")
            .field("poll", &self.poll)
            .field("lease", &self.lease)
            .field("batch_channels", &self.batch_channels)
            .finish_non_exhaustive()
    }
}

/// The messages of a claim with what each carries, urgent ones first; before them, without a
/// message, what is to be cancelled.
fn messages(claim: &ChannelClaim) -> Vec<(Option<Message>, Vec<&DueDelivery>)> {
    let (mut gone, mut digest, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for due in &claim.deliveries {
        match &due.notification {
            None => gone.push(due),
            Some(notification) if due.delivery.digest => digest.push((due, notification)),
            Some(notification) => {
                let content = MessageContent::Notification(notification.clone());
                let id = due.delivery.id;
                messages.push((Some(Message { id, content }), vec![due]));
            }
        }
    }
    messages.sort_by_key(|(_, carried)| carried.iter().all(|due| !due.delivery.urgent));
    if !digest.is_empty() {
        digest.sort_by_key(|(due, _)| due.delivery.id);
        let (carried, notifications): (Vec<_>, Vec<_>) = digest.into_iter().unzip();
        let id = Message::digest_id(carried.iter().map(|due| due.delivery.id));
        let content = MessageContent::Digest(notifications.into_iter().cloned().collect());
        messages.push((Some(Message { id, content }), carried));
    }
    if !gone.is_empty() {
        messages.insert(0, (None, gone));
    }
    messages
}

/// How long to wait until the next attempt, by the most attempts that there were.
fn backoff(carried: &[&DueDelivery]) -> Duration {
    let attempts = carried.iter().map(|due| due.delivery.attempts);
    let attempts = attempts.max().unwrap_or_default();
    let wait = FIRST_WAIT.saturating_mul(4_u32.saturating_pow(attempts));
    spread(carried, attempts, wait.min(MAX_WAIT))
}

/// A wait made longer by up to a fifth: by another part for other deliveries and attempts.
fn spread(carried: &[&DueDelivery], attempts: u32, wait: Duration) -> Duration {
    let first = carried
        .first()
        .map(|due| due.delivery.id.uuid().into_bytes());
    let [.., last] = first.unwrap_or_default();
    let part = u32::from(last).wrapping_add(attempts.wrapping_mul(97)) % 256;
    wait + wait / 5 * part / 256
}

fn is_too_old(due: &DueDelivery, now: Timestamp) -> bool {
    now >= wall::after(due.pending_since, MAX_AGE)
}

fn decide(error: &PortError) -> Decision {
    match error.is_transient() {
        true => Decision::Retry,
        false => Decision::Stop,
    }
}

/// Waits until every claim has ended.
///
/// # Cancel safety
///
/// Dropped, the others go on.
async fn all(claims: &mut JoinSet<()>) {
    while let Some(ended) = claims.join_next().await {
        if let Err(error) = ended {
            let error: &dyn std::error::Error = &error;
            error!(
                error,
                "a send panicked; its deliveries wait for their lease to end"
            );
        }
    }
}
