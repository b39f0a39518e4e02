use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::{Disconnect, Limits, connection::Connection, outbox::Pushed};

/// A message on its way to the subscribers of a topic, encoded once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Its place in the stream; `None` where the topic has no history.
    pub(crate) at: Option<Place>,
    /// The encoded push.
    pub(crate) frame: Bytes,
}

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) epoch: Arc<str>,
}

/// One connection's part in one topic.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) connection: Arc<Connection>,
    /// Tells this subscription from an earlier one of the same connection.
    pub(crate) serial: u64,
    /// Made by the server, not asked for by the client.
    pub(crate) server_side: bool,
    pub(crate) stage: Stage,
    /// The last publication the client has, or gets before anything queued from now on.
    pub(crate) place: Option<Place>,
}

/// `Pending → Active → (Repairing → Active)*`, until it is removed, by way of `Leaving` from
/// `Pending` and of `Broken` from the others.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Being set up: what is published meanwhile waits behind the acknowledgement.
    Pending(Backlog),
    /// Receives.
    Active,
    /// Found a gap: what is published meanwhile waits behind the repair.
    Repairing(Backlog),
    /// Told to end before it was active: its session removes it instead of activating it.
    Leaving,
    /// Cannot go on without a hole: whoever found out removes it.
    Broken,
}

/// What waits behind an acknowledgement or a repair.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    messages: VecDeque<Live>,
    bytes: usize,
}

/// What a message meant for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is in the client's queue.
    Queued,
    /// It waits in the backlog, or is a duplicate, or the client is on its way out.
    Kept,
    /// Publications before it are missing: the subscription is now repairing.
    Gap,
    /// It belongs to another stream: the subscription is now broken.
    Broken,
}

impl Backlog {
    /// False if there is no more room.
    fn push(&mut self, live: &Live, limits: &Limits) -> bool {
        let bytes = self.bytes + live.frame.len();
        if self.messages.len() >= limits.queue_messages || bytes > limits.queue_bytes {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(live.clone());
        true
    }
}

impl Subscription {
    pub(crate) fn pending(connection: Arc<Connection>, serial: u64, server_side: bool) -> Self {
        Self {
            connection,
            serial,
            server_side,
            stage: Stage::Pending(Backlog::default()),
            place: None,
        }
    }

    /// Hands over one message, by its offset.
    pub(crate) fn accept(&mut self, live: &Live, limits: &Limits) -> Accepted {
        match &mut self.stage {
            Stage::Leaving | Stage::Broken => return Accepted::Kept,
            Stage::Pending(backlog) | Stage::Repairing(backlog) => {
                if !backlog.push(live, limits) {
                    self.connection.outbox.evict(Disconnect::SLOW);
                }
                return Accepted::Kept;
            }
            Stage::Active => {}
        }
        if let (Some(at), Some(place)) = (&live.at, &mut self.place) {
            if at.epoch != place.epoch {
                self.stage = Stage::Broken;
                return Accepted::Broken;
            }
            if at.offset <= place.offset {
                return Accepted::Kept;
            }
            if at.offset > place.offset + 1 {
                let mut backlog = Backlog::default();
                backlog.push(live, limits);
                self.stage = Stage::Repairing(backlog);
                return Accepted::Gap;
            }
            place.offset = at.offset;
        }
        match self.connection.outbox.push(live.frame.clone()) {
            Pushed::Queued => Accepted::Queued,
            Pushed::Closed | Pushed::Evicted => Accepted::Kept,
        }
    }

    /// Makes the subscription active and hands over its backlog, ordered by offset.
    pub(crate) fn settle(&mut self, limits: &Limits, mut each: impl FnMut(Accepted)) {
        let (Stage::Pending(backlog) | Stage::Repairing(backlog)) =
            std::mem::replace(&mut self.stage, Stage::Active)
        else {
            return;
        };
        let mut messages = Vec::from(backlog.messages);
        messages.sort_by_key(|live| live.at.as_ref().map(|at| at.offset));
        for live in &messages {
            each(self.accept(live, limits));
        }
    }
}
