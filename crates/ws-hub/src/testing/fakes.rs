use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;

use crate::{
    AuthenticateError, Authenticator, Authorizer, Handshake, History, HistoryPage, Identity,
    Payload, PortError, Publication, StreamPosition, lock::lock,
};

/// An [`Authenticator`] that takes the token for the user's name.
///
/// The token `expired` is expired, and one with a space is rejected. The query parameter `user` of
/// the handshake names a user as well. Each user is subscribed to `user:<name>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenAuthenticator;

impl TokenAuthenticator {
    fn identify(name: &str) -> Result<Identity, AuthenticateError> {
        match name {
            "expired" => Err(AuthenticateError::Expired),
            name if name.contains([' ', '+']) => Err(AuthenticateError::Rejected),
            name => Ok(Identity::new(name).subscribed_to(format!("user:{name}"))),
        }
    }
}

#[async_trait]
impl Authenticator for TokenAuthenticator {
    async fn handshake(
        &self,
        handshake: &Handshake,
    ) -> Result<Option<Identity>, AuthenticateError> {
        handshake.query("user").map(Self::identify).transpose()
    }

    async fn token(&self, _: &Handshake, token: &str) -> Result<Identity, AuthenticateError> {
        Self::identify(token)
    }
}

/// An [`Authorizer`] that allows everything but topics that begin with `private:`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAuthorizer;

#[async_trait]
impl Authorizer for OpenAuthorizer {
    async fn may_subscribe(&self, _: &Identity, topic: &str) -> Result<bool, PortError> {
        Ok(!topic.starts_with("private:"))
    }

    async fn may_publish(&self, _: &Identity, topic: &str) -> Result<bool, PortError> {
        Ok(!topic.starts_with("private:"))
    }
}

/// A [`History`] in the place of a database: it outlives hubs, covers what begins with `user:` or
/// `log:`, and can be written without the hub, lose its past and fail.
#[derive(Debug, Default)]
pub struct DurableHistory {
    streams: Mutex<HashMap<String, Vec<Publication>>>,
    kept_from: Mutex<HashMap<String, u64>>,
    epoch: Mutex<String>,
    fails: AtomicBool,
    reads: AtomicUsize,
}

impl DurableHistory {
    /// An empty one that works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a publication as an application would, in its own transaction.
    pub fn store(&self, topic: &str, data: Payload) -> Publication {
        let mut streams = lock(&self.streams);
        let stream = streams.entry(topic.to_owned()).or_default();
        let publication = Publication::new(stream.len() as u64 + 1, data);
        stream.push(publication.clone());
        publication
    }

    /// Forgets what is older than the publication at `offset`.
    pub fn keep_from(&self, topic: &str, offset: u64) {
        lock(&self.kept_from).insert(topic.to_owned(), offset);
    }

    /// The name of every stream.
    #[must_use]
    pub fn epoch(&self) -> String {
        lock(&self.epoch).clone()
    }

    /// Names every stream anew, as after a loss.
    pub fn set_epoch(&self, epoch: &str) {
        epoch.clone_into(&mut lock(&self.epoch));
    }

    /// From now on every call fails, or none.
    pub fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    /// How often it was read.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn check(&self, operation: &'static str) -> Result<(), PortError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(PortError::transient(operation, "told to fail"));
        }
        Ok(())
    }
}

#[async_trait]
impl History for DurableHistory {
    fn covers(&self, topic: &str) -> bool {
        topic.starts_with("user:") || topic.starts_with("log:")
    }

    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError> {
        self.check("append")?;
        let offset = self.store(topic, data.clone()).offset;
        Ok(StreamPosition::new(offset, self.epoch()))
    }

    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.check("read")?;
        let streams = lock(&self.streams);
        let stream = streams.get(topic).map_or(&[][..], Vec::as_slice);
        let top = stream.len() as u64;
        let kept_from = lock(&self.kept_from).get(topic).copied().unwrap_or(1);
        let wanted = stream.iter().filter(|publication| {
            after.is_some_and(|after| publication.offset > after) && publication.offset >= kept_from
        });
        Ok(HistoryPage {
            top: StreamPosition::new(top, self.epoch()),
            publications: wanted.take(limit).cloned().collect(),
        })
    }
}
