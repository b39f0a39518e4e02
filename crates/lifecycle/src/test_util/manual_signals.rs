use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{Signal, SignalSource};

/// How many signals may wait to be read.
const PENDING: usize = 16;

/// A [`SignalSource`] whose signals are raised by hand.
#[derive(Debug)]
pub struct ManualSignals {
    signals: mpsc::Receiver<Signal>,
}

/// Raises signals of a [`ManualSignals`].
#[derive(Clone, Debug)]
pub struct SignalSender {
    signals: mpsc::Sender<Signal>,
}

impl ManualSignals {
    /// A source and the way to raise its signals.
    #[must_use]
    pub fn new() -> (SignalSender, Self) {
        let (sender, signals) = mpsc::channel(PENDING);
        (SignalSender { signals: sender }, Self { signals })
    }
}

impl SignalSender {
    /// Raises a signal. At most 16 wait to be read; more are merged with those, as a system does
    /// it.
    pub fn raise(&self, signal: Signal) {
        let _ = self.signals.try_send(signal);
    }
}

#[async_trait]
impl SignalSource for ManualSignals {
    async fn next(&mut self) -> Signal {
        match self.signals.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
