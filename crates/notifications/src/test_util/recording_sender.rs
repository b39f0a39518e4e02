use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    ChannelId, ChannelSender, ChannelTarget, FieldError, Message, SendError, StoredChannel,
};

/// A sender that keeps what it is given, and fails for the targets it was asked to fail for.
#[derive(Debug, Default)]
pub struct RecordingSender(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sent: Vec<(ChannelId, Message)>,
    attempts: Vec<(ChannelId, Message)>,
    failures: HashMap<String, Vec<SendError>>,
    hanging: HashMap<String, Duration>,
}

impl RecordingSender {
    /// A sender that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next sends to a target fail, in this order.
    pub fn fail(&self, target: &str, errors: impl IntoIterator<Item = SendError>) {
        let errors = errors.into_iter().collect();
        self.with(|state| state.failures.insert(target.to_owned(), errors));
    }

    /// Lets each send to a target take that long.
    pub fn slow(&self, target: &str, time: Duration) {
        self.with(|state| state.hanging.insert(target.to_owned(), time));
    }

    /// What arrived, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<(ChannelId, Message)> {
        self.with(|state| state.sent.clone())
    }

    /// What was tried, in order.
    #[must_use]
    pub fn attempts(&self) -> Vec<(ChannelId, Message)> {
        self.with(|state| state.attempts.clone())
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ChannelSender for RecordingSender {
    fn check(&self, target: &ChannelTarget) -> Result<(), FieldError> {
        match target {
            ChannelTarget::Webhook { url } if !url.starts_with("https://") => Err(FieldError {
                pointer: "/url".into(),
                detail: "must begin with https://".into(),
            }),
            _ => Ok(()),
        }
    }

    fn endpoint(&self, target: &ChannelTarget) -> String {
        target.text().to_owned()
    }

    async fn send(&self, channel: &StoredChannel, message: &Message) -> Result<(), SendError> {
        let (id, target) = (channel.channel.id, channel.channel.target.text());
        let delivery = (id, message.clone());
        let slow = self.with(|state| {
            state.attempts.push(delivery.clone());
            state.hanging.get(target).copied()
        });
        if let Some(slow) = slow {
            tokio::time::sleep(slow).await;
        }
        self.with(|state| match state.failures.get_mut(target) {
            Some(errors) if !errors.is_empty() => Err(errors.remove(0)),
            _ => {
                state.sent.push(delivery);
                Ok(())
            }
        })
    }
}
