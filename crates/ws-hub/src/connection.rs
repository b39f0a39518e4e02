use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use crate::{ClientInfo, ConnectionId, outbox::Outbox, topic::Topic};

/// One registered connection.
///
/// Its membership lock is the first of the lock order (membership, then a shard, then a topic,
/// then the outbox) and orders every change to the indexes that concerns this connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) user: Arc<str>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) since: SystemTime,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) membership: Mutex<Membership>,
    /// Counts frames from the client, as a sign of life.
    inbound: AtomicU32,
}

/// What a client is part of.
#[derive(Debug)]
pub(crate) struct Membership {
    /// False from deregistration on: a closed connection joins nothing.
    pub(crate) open: bool,
    pub(crate) topics: HashMap<Arc<str>, Arc<Topic>>,
}

/// What a connection brings along when it registers.
#[derive(Debug)]
pub(crate) struct NewConnection {
    pub(crate) user: Arc<str>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) since: SystemTime,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, new: NewConnection) -> Self {
        Self {
            id,
            user: new.user,
            remote: new.remote,
            since: new.since,
            expires: new.expires,
            outbox: new.outbox,
            membership: Mutex::new(Membership {
                open: true,
                topics: HashMap::new(),
            }),
            inbound: AtomicU32::new(0),
        }
    }

    pub(crate) fn info(&self) -> ClientInfo {
        ClientInfo {
            id: self.id,
            user: self.user.clone(),
            remote: self.remote,
            since: self.since,
        }
    }

    /// Notes a sign of life.
    pub(crate) fn touch(&self) {
        self.inbound.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes with each sign of life.
    pub(crate) fn pulse(&self) -> u32 {
        self.inbound.load(Ordering::Relaxed)
    }
}
