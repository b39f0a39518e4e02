use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_sync::Retry;

use crate::{
    BuildError, ChannelSender, Deliverer, DeliveryLimits, DeliveryStore, endpoints::Endpoints,
};

/// Sets up a [`Deliverer`].
#[derive(Clone)]
pub struct DelivererBuilder {
    pub(crate) store: Arc<dyn DeliveryStore>,
    pub(crate) sender: Arc<dyn ChannelSender>,
    pub(crate) limits: Arc<DeliveryLimits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) poll: Duration,
    pub(crate) lease: Duration,
    pub(crate) batch_channels: u32,
}

impl DelivererBuilder {
    /// Replaces the clock; the machine's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how often to look for what is due; 1 s by default.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets after what time the deliveries claimed by a process that has died are sent by another;
    /// 60 s by default, at least 60 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets to how many channels messages are under way at the same time; 64 by default.
    #[must_use]
    pub fn batch_channels(mut self, channels: u32) -> Self {
        self.batch_channels = channels;
        self
    }

    /// Builds the deliverer.
    ///
    /// # Errors
    ///
    /// If the batch or the poll is zero, or the lease is shorter than 60 s.
    pub fn build(self) -> Result<Deliverer, BuildError> {
        let invalid = |field, problem| Err(BuildError { field, problem });
        if self.batch_channels == 0 {
            return invalid("batch_channels", "must be at least one");
        }
        if self.poll.is_zero() {
            return invalid("poll", "must be longer than nothing");
        }
        if self.lease < Duration::from_secs(60) {
            return invalid("lease", "must be at least 60 s");
        }
        let retry = Retry::builder().max_attempts(3).deadline(self.lease / 10);
        let store_retry = retry.build().map_err(|_| BuildError {
            field: "lease",
            problem: "leaves no time for retries",
        })?;
        Ok(Deliverer {
            endpoints: Arc::new(Endpoints::new(self.clock.clone())),
            store: self.store,
            sender: self.sender,
            limits: self.limits,
            clock: self.clock,
            time: Arc::default(),
            store_retry: Arc::new(store_retry),
            poll: self.poll,
            lease: self.lease,
            batch_channels: self.batch_channels,
        })
    }
}

impl fmt::Debug for DelivererBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelivererBuilder").finish_non_exhaustive()
    }
}
