use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    ConnectionId, Limits,
    connection::{Connection, NewConnection},
    lock::lock,
    slots::Slots,
    subscription::{Live, Place},
    topic::{Activated, Delivery, Left, Topic},
};

const SHARDS: usize = 16;

/// Who is connected and who listens to what.
///
/// Three indexes that agree: id → connection, user → connections, topic → subscriptions. A
/// connection is in the first two from registration to deregistration, which happens once; what
/// it is subscribed to and what subscribes it are the same. All of that holds whenever the
/// membership lock of the connection is free. Nothing here waits or does I/O.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: Arc<Limits>,
    hasher: RandomState,
    slots: Slots,
    users: [Mutex<Users>; SHARDS],
    topics: [Mutex<HashMap<Arc<str>, Arc<Topic>>>; SHARDS],
    serials: AtomicU64,
    subscriptions: AtomicUsize,
}

#[derive(Debug, Default)]
struct Users {
    /// Takes no registration in.
    closed: bool,
    connections: HashMap<Arc<str>, Vec<Arc<Connection>>>,
}

/// Why a connection is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegisterError {
    /// The user has as many as they may have.
    UserLimit,
    /// The registry is closed.
    Closed,
}

/// Why a connection does not join a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// It is no longer registered.
    Closed,
    /// It is subscribed already.
    AlreadySubscribed,
    /// It has as many subscriptions as it may have.
    Limit,
}

impl Registry {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            slots: Slots::default(),
            users: Default::default(),
            topics: Default::default(),
            serials: AtomicU64::new(0),
            subscriptions: AtomicUsize::new(0),
        }
    }

    /// Registers a connection, unless its user has too many: counted and added in one step.
    pub(crate) fn register(&self, new: NewConnection) -> Result<Arc<Connection>, RegisterError> {
        let mut users = lock(self.user_shard(&new.user));
        if users.closed {
            return Err(RegisterError::Closed);
        }
        let user = new.user.clone();
        let connections = users.connections.entry(user.clone()).or_default();
        if connections.len() >= self.limits.connections_per_user {
            return Err(RegisterError::UserLimit);
        }
        let connection = self.slots.insert(|id| Connection::new(id, new));
        connections.push(connection.clone());
        Ok(connection)
    }

    /// Removes a connection from every index; true for the one caller that did it.
    pub(crate) fn deregister(&self, connection: &Connection) -> bool {
        let mut membership = lock(&connection.membership);
        if !std::mem::replace(&mut membership.open, false) {
            return false;
        }
        let topics = std::mem::take(&mut membership.topics);
        for topic in topics.values() {
            if topic.evict(connection.id) {
                self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let mut users = lock(self.user_shard(&connection.user));
        if let Some(connections) = users.connections.get_mut(&connection.user) {
            connections.retain(|other| other.id != connection.id);
            if connections.is_empty() {
                users.connections.remove(&connection.user);
            }
        }
        self.slots.remove(connection.id);
        drop(users);
        drop(membership);
        for topic in topics.values() {
            self.retire_if_empty(topic);
        }
        true
    }

    /// Adds a pending subscription.
    pub(crate) fn join(
        &self,
        connection: &Arc<Connection>,
        topic: &str,
        server_side: bool,
    ) -> Result<(), JoinError> {
        let mut membership = lock(&connection.membership);
        if !membership.open {
            return Err(JoinError::Closed);
        }
        if membership.topics.contains_key(topic) {
            return Err(JoinError::AlreadySubscribed);
        }
        if membership.topics.len() >= self.limits.subscriptions_per_connection {
            return Err(JoinError::Limit);
        }
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        // A retired topic is no longer in its shard, so that the next look-up finds another.
        let topic = loop {
            let topic = self.topic_or_new(topic);
            if topic.join(connection, serial, server_side) {
                break topic;
            }
        };
        membership.topics.insert(topic.name.clone(), topic);
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a pending subscription active, once its acknowledgement is queued.
    pub(crate) fn activate(
        &self,
        connection: &Connection,
        topic: &str,
        place: Option<Place>,
    ) -> Activated {
        let mut membership = lock(&connection.membership);
        let Some(topic) = membership.topics.get(topic).cloned() else {
            return Activated::Left;
        };
        let activated = topic.activate(connection.id, place, &self.limits);
        if let Activated::Left = activated {
            membership.topics.remove(&topic.name);
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            drop(membership);
            self.retire_if_empty(&topic);
        }
        activated
    }

    /// Ends a subscription; with a serial only that one. The farewell is queued for the client
    /// before it can subscribe again.
    pub(crate) fn leave(
        &self,
        connection: &Connection,
        topic: &str,
        serial: Option<u64>,
        farewell: Option<Bytes>,
    ) -> Left {
        let mut membership = lock(&connection.membership);
        let Some(topic) = membership.topics.get(topic).cloned() else {
            return Left::Absent;
        };
        let left = topic.leave(connection.id, serial);
        if left == Left::Removed {
            if let Some(farewell) = farewell {
                connection.outbox.push(farewell);
            }
            membership.topics.remove(&topic.name);
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            drop(membership);
            self.retire_if_empty(&topic);
        }
        left
    }

    /// Hands a message to the subscribers of a topic; it is only encoded if there are any.
    pub(crate) fn deliver(&self, topic: &str, live: impl FnOnce() -> Live) -> Delivery {
        match self.topic(topic) {
            Some(topic) => topic.deliver(&live(), &self.limits),
            None => Delivery::default(),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        lock(self.topic_shard(name)).get(name).cloned()
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.slots.get(id)
    }

    pub(crate) fn connections_of(&self, user: &str) -> Vec<Arc<Connection>> {
        let users = lock(self.user_shard(user));
        users.connections.get(user).cloned().unwrap_or_default()
    }

    /// Up to `limit` connections after `after`, in the order of their slots.
    pub(crate) fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Connection>> {
        self.slots.page(after, limit)
    }

    /// Takes no more registrations in; returns who is registered.
    ///
    /// A registration at the same time is either refused or among those returned.
    pub(crate) fn close(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::new();
        for shard in &self.users {
            let mut users = lock(shard);
            users.closed = true;
            all.extend(users.connections.values().flatten().cloned());
        }
        all
    }

    /// Takes registrations in again.
    pub(crate) fn open(&self) {
        for shard in &self.users {
            lock(shard).closed = false;
        }
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn user_count(&self) -> usize {
        let users = self.users.iter();
        users.map(|shard| lock(shard).connections.len()).sum()
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    fn topic_or_new(&self, name: &str) -> Arc<Topic> {
        let mut topics = lock(self.topic_shard(name));
        if let Some(topic) = topics.get(name) {
            return topic.clone();
        }
        let name: Arc<str> = name.into();
        let topic = Arc::new(Topic::new(name.clone()));
        topics.insert(name, topic.clone());
        topic
    }

    fn retire_if_empty(&self, topic: &Arc<Topic>) {
        let mut topics = lock(self.topic_shard(&topic.name));
        let current = topics.get(&topic.name);
        if current.is_some_and(|current| Arc::ptr_eq(current, topic)) && topic.retire_if_empty() {
            topics.remove(&topic.name);
        }
    }

    fn user_shard(&self, user: &str) -> &Mutex<Users> {
        &self.users[self.shard(user)]
    }

    fn topic_shard(&self, topic: &str) -> &Mutex<HashMap<Arc<str>, Arc<Topic>>> {
        &self.topics[self.shard(topic)]
    }

    fn shard(&self, key: &str) -> usize {
        // The map inside takes the low bits of its own hash; any bits do here.
        self.hasher.hash_one(key) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests;
