use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{
    ConnectionId, Limits,
    connection::Connection,
    lock::lock,
    subscription::{Accepted, Live, Place, Stage, Subscription},
};

/// The subscriptions of one topic, and the one order in which they receive.
///
/// Exists while it has subscriptions; a retired topic takes none in, so that whoever holds a stale
/// handle looks it up again.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    retired: bool,
    subscriptions: Vec<Subscription>,
    index: HashMap<ConnectionId, usize>,
    /// A repair is on its way.
    repairing: bool,
}

/// What a delivery left to do once the topic is unlocked.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// Messages queued.
    pub(crate) queued: usize,
    /// A gap was found, and the caller starts the repair.
    pub(crate) repair: bool,
    /// Subscriptions that cannot go on.
    pub(crate) broken: Vec<Broken>,
}

/// A subscription that cannot go on without a silent hole.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) connection: Arc<Connection>,
    pub(crate) serial: u64,
    pub(crate) server_side: bool,
}

/// What became of a wish to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The subscription is gone.
    Removed,
    /// It is being set up, and goes when it would become active.
    Marked,
    /// There was none.
    Absent,
}

/// What became of an activation.
#[derive(Debug)]
pub(crate) enum Activated {
    /// The subscription receives.
    Active(Delivery),
    /// It was told to leave meanwhile, and is gone.
    Left,
}

impl Topic {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: Mutex::default(),
        }
    }

    /// Adds a pending subscription; false if the topic is retired.
    pub(crate) fn join(&self, connection: &Arc<Connection>, serial: u64, server: bool) -> bool {
        let mut state = lock(&self.state);
        if state.retired {
            return false;
        }
        let at = state.subscriptions.len();
        state.index.insert(connection.id, at);
        let subscription = Subscription::pending(connection.clone(), serial, server);
        state.subscriptions.push(subscription);
        true
    }

    /// Makes a pending subscription active; the client has everything up to `place`, and its
    /// acknowledgement is in its queue.
    pub(crate) fn activate(
        &self,
        id: ConnectionId,
        place: Option<Place>,
        limits: &Limits,
    ) -> Activated {
        let mut state = lock(&self.state);
        let Some(&at) = state.index.get(&id) else {
            return Activated::Left;
        };
        if matches!(state.subscriptions[at].stage, Stage::Leaving) {
            state.remove(id);
            return Activated::Left;
        }
        state.subscriptions[at].place = place;
        let mut delivery = Delivery::default();
        state.settle(at, limits, &mut delivery);
        Activated::Active(delivery)
    }

    /// Removes a subscription; with a serial only that one.
    pub(crate) fn leave(&self, id: ConnectionId, serial: Option<u64>) -> Left {
        let mut state = lock(&self.state);
        let Some(&at) = state.index.get(&id) else {
            return Left::Absent;
        };
        let subscription = &mut state.subscriptions[at];
        if serial.is_some_and(|serial| serial != subscription.serial) {
            return Left::Absent;
        }
        if let Stage::Pending(_) | Stage::Leaving = subscription.stage {
            subscription.stage = Stage::Leaving;
            return Left::Marked;
        }
        state.remove(id);
        Left::Removed
    }

    /// Removes whatever subscription the connection has.
    pub(crate) fn evict(&self, id: ConnectionId) -> bool {
        lock(&self.state).remove(id)
    }

    /// Hands a message to every subscription.
    pub(crate) fn deliver(&self, live: &Live, limits: &Limits) -> Delivery {
        let mut state = lock(&self.state);
        let mut delivery = Delivery::default();
        let mut gap = false;
        for subscription in &mut state.subscriptions {
            let accepted = subscription.accept(live, limits);
            gap |= delivery.note(accepted, subscription);
        }
        delivery.repair = gap && !std::mem::replace(&mut state.repairing, true);
        delivery
    }

    /// The place from which the repairing subscriptions are missing publications; `None` ends the
    /// repair.
    pub(crate) fn missing_from(&self) -> Option<Place> {
        let mut state = lock(&self.state);
        let missing = state
            .subscriptions
            .iter()
            .filter(|subscription| matches!(subscription.stage, Stage::Repairing(_)))
            .filter_map(|subscription| subscription.place.clone())
            .min_by_key(|place| place.offset);
        state.repairing = missing.is_some();
        missing
    }

    /// Hands the missing publications to the repairing subscriptions.
    ///
    /// One that they do not help, because history no longer holds what it needs, is broken.
    pub(crate) fn repair(&self, missing: &[Live], epoch: &str, limits: &Limits) -> Delivery {
        let mut state = lock(&self.state);
        let mut delivery = Delivery::default();
        for subscription in &mut state.subscriptions {
            let Stage::Repairing(_) = subscription.stage else {
                continue;
            };
            let Some(place) = &subscription.place else {
                continue;
            };
            let next = place.offset + 1;
            if missing.last().is_some_and(|last| offset(last) < next) {
                // Far ahead of the page: a later one is for it.
                continue;
            }
            let first = missing.partition_point(|live| offset(live) < next);
            let found = missing.get(first).is_some_and(|live| offset(live) == next);
            if !found || *place.epoch != *epoch {
                subscription.stage = Stage::Broken;
                delivery.note(Accepted::Broken, subscription);
                continue;
            }
            let backlog = std::mem::replace(&mut subscription.stage, Stage::Active);
            for live in &missing[first..] {
                let accepted = subscription.accept(live, limits);
                delivery.note(accepted, subscription);
            }
            if let Stage::Active = subscription.stage {
                subscription.stage = backlog;
            }
        }
        for at in 0..state.subscriptions.len() {
            if let Stage::Repairing(_) = state.subscriptions[at].stage {
                state.settle(at, limits, &mut delivery);
            }
        }
        // The repair that called goes on with any gap that is left.
        delivery.repair = false;
        state.repairing = true;
        delivery
    }

    /// Gives up on the repairing subscriptions.
    pub(crate) fn give_up(&self) -> Delivery {
        let mut state = lock(&self.state);
        let mut delivery = Delivery::default();
        for subscription in &mut state.subscriptions {
            if let Stage::Repairing(_) = subscription.stage {
                subscription.stage = Stage::Broken;
                delivery.note(Accepted::Broken, subscription);
            }
        }
        state.repairing = false;
        delivery
    }

    /// Retires the topic if it is empty; the caller holds the lock of its shard.
    pub(crate) fn retire_if_empty(&self) -> bool {
        let mut state = lock(&self.state);
        state.retired |= state.subscriptions.is_empty();
        state.retired
    }

    /// Ids and serials, for checks of the invariants.
    #[cfg(test)]
    pub(crate) fn members(&self) -> Vec<ConnectionId> {
        let state = lock(&self.state);
        assert_eq!(state.index.len(), state.subscriptions.len());
        let subscriptions = state.subscriptions.iter().enumerate();
        subscriptions
            .map(|(at, subscription)| {
                assert_eq!(state.index.get(&subscription.connection.id), Some(&at));
                subscription.connection.id
            })
            .collect()
    }
}

impl State {
    fn remove(&mut self, id: ConnectionId) -> bool {
        let Some(at) = self.index.remove(&id) else {
            return false;
        };
        self.subscriptions.swap_remove(at);
        if let Some(moved) = self.subscriptions.get(at) {
            self.index.insert(moved.connection.id, at);
        }
        true
    }

    fn settle(&mut self, at: usize, limits: &Limits, delivery: &mut Delivery) {
        let subscription = &mut self.subscriptions[at];
        let mut outcomes = Vec::new();
        subscription.settle(limits, |accepted| outcomes.push(accepted));
        let mut gap = false;
        for accepted in outcomes {
            gap |= delivery.note(accepted, subscription);
        }
        delivery.repair |= gap && !std::mem::replace(&mut self.repairing, true);
    }
}

fn offset(live: &Live) -> u64 {
    live.at.as_ref().map_or(0, |at| at.offset)
}

impl Delivery {
    /// Returns true for a gap.
    fn note(&mut self, accepted: Accepted, subscription: &Subscription) -> bool {
        match accepted {
            Accepted::Queued => self.queued += 1,
            Accepted::Kept => {}
            Accepted::Gap => return true,
            Accepted::Broken => self.broken.push(Broken {
                connection: subscription.connection.clone(),
                serial: subscription.serial,
                server_side: subscription.server_side,
            }),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::RangeInclusive, time::SystemTime};

    use super::*;
    use crate::{connection::NewConnection, outbox::Outbox};

    fn live(offset: u64) -> Live {
        Live {
            at: Some(place(offset)),
            frame: offset.to_string().into(),
        }
    }

    fn place(offset: u64) -> Place {
        Place {
            offset,
            epoch: "e".into(),
        }
    }

    fn subscribed(topic: &Topic, slot: u32, at: u64, limits: &Limits) -> Arc<Connection> {
        let new = NewConnection {
            user: "alice".into(),
            remote: None,
            since: SystemTime::UNIX_EPOCH,
            expires: None,
            outbox: Arc::new(Outbox::new(limits)),
        };
        let generation = 1;
        let connection = Arc::new(Connection::new(ConnectionId { slot, generation }, new));
        assert!(topic.join(&connection, u64::from(slot), false));
        topic.activate(connection.id, Some(place(at)), limits);
        connection
    }

    fn received(connection: &Connection, offsets: RangeInclusive<u64>) -> bool {
        let lines: Vec<_> = offsets.map(|offset| offset.to_string()).collect();
        connection.outbox.take() == Some(lines.join("\n").into())
    }

    #[test]
    fn repair_in_pages_serves_who_is_far_behind_and_who_is_ahead() {
        let limits = Limits::default();
        let topic = Topic::new("t".into());
        let behind = subscribed(&topic, 0, 0, &limits);
        let ahead = subscribed(&topic, 1, 6, &limits);
        assert!(topic.deliver(&live(8), &limits).repair);
        for from in [0, 2, 4, 6] {
            assert_eq!(topic.missing_from(), Some(place(from)));
            let page = [live(from + 1), live(from + 2)];
            assert!(topic.repair(&page, "e", &limits).broken.is_empty());
        }
        assert_eq!(topic.missing_from(), None);
        assert!(received(&behind, 1..=8));
        assert!(received(&ahead, 7..=8));
    }
}
