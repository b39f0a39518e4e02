use std::sync::Arc;

use tokio::sync::Notify;

/// Tells the relay of this process that events are pending, so that it need not wait for its next
/// poll.
///
/// It is only a hint: a signal lost with a crash costs one poll interval, never an event.
#[derive(Clone, Debug, Default)]
pub struct OutboxSignal(Arc<Notify>);

impl OutboxSignal {
    /// A signal that nobody has raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the relay, now or as soon as it waits; raising twice is raising once.
    pub fn raise(&self) {
        self.0.notify_one();
    }

    /// Waits until the signal is raised, and lowers it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no signal: the next call returns at once.
    pub async fn raised(&self) {
        self.0.notified().await;
    }
}
