use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{PortError, Push, UserEvent, UserId};

/// A push that keeps what it is given, and fails for the users it was asked to fail for.
#[derive(Debug, Default)]
pub struct RecordingPush {
    state: Mutex<State>,
    more: Notify,
}

/// One event that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// To whom.
    pub user: UserId,
    /// The epoch that came with it.
    pub epoch: String,
    /// The event.
    pub event: UserEvent,
}

#[derive(Debug, Default)]
struct State {
    pushed: Vec<Pushed>,
    failures: HashMap<UserId, usize>,
}

impl RecordingPush {
    /// A push that has nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `count` pushes to `user` fail.
    pub fn fail_next(&self, user: UserId, count: usize) {
        self.with(|state| state.failures.insert(user, count));
    }

    /// Everything that was pushed, in order.
    #[must_use]
    pub fn pushed(&self) -> Vec<Pushed> {
        self.with(|state| state.pushed.clone())
    }

    /// The offsets that were pushed to a user, in order.
    #[must_use]
    pub fn offsets(&self, user: UserId) -> Vec<u64> {
        let pushed = self.pushed();
        let own = pushed.iter().filter(|pushed| pushed.user == user);
        own.map(|pushed| pushed.event.offset).collect()
    }

    /// Waits until `count` events were pushed.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn reached(&self, count: usize) {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            // Before the count is looked at, so that no push in between is missed.
            more.as_mut().enable();
            if self.with(|state| state.pushed.len()) >= count {
                return;
            }
            more.await;
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Push for RecordingPush {
    async fn push(&self, user: UserId, epoch: &str, event: &UserEvent) -> Result<(), PortError> {
        self.with(|state| {
            if let Some(left) = state.failures.get_mut(&user).filter(|left| **left > 0) {
                *left -= 1;
                return Err(PortError::transient("asked to fail"));
            }
            state.pushed.push(Pushed {
                user,
                epoch: epoch.to_owned(),
                event: event.clone(),
            });
            self.more.notify_waiters();
            Ok(())
        })
    }
}
