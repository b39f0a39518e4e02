use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use crate::{
    Authenticator, Authorizer, BuildError, ClientPage, ConnectionId, Disconnect, Handshake,
    History, HubStats, HubUpgrade, Limits, Observer, Payload, Publication, PublishError, Refusal,
    RpcHandler, ServeError, ShutdownReport, StreamPosition, Target,
};

/// The hub. A handle: clones share it.
#[derive(Clone, Debug)]
pub struct Hub {}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its place in the stream, where the topic has a history.
    pub position: Option<StreamPosition>,
    /// Queues it was put into.
    pub receivers: usize,
}

/// Builds a [`Hub`].
#[derive(Debug)]
pub struct HubBuilder {}

impl HubBuilder {
    /// Who clients are; must be set.
    #[must_use]
    pub fn authenticator(self, _authenticator: Arc<dyn Authenticator>) -> Self {
        self
    }
    /// What clients may do; without one they may do nothing but receive.
    #[must_use]
    pub fn authorizer(self, _authorizer: Arc<dyn Authorizer>) -> Self {
        self
    }
    /// Topics with a history; without one there are none.
    #[must_use]
    pub fn history(self, _history: Arc<dyn History>) -> Self {
        self
    }
    /// Answers `rpc` commands; without one they are answered 108.
    #[must_use]
    pub fn rpc(self, _rpc: Arc<dyn RpcHandler>) -> Self {
        self
    }
    /// Is told of clients.
    #[must_use]
    pub fn observer(self, _observer: Arc<dyn Observer>) -> Self {
        self
    }
    /// Bounds.
    #[must_use]
    pub fn limits(self, _limits: Limits) -> Self {
        self
    }
    /// Origins that browsers may connect from, as `scheme://host[:port]`, or `*`.
    #[must_use]
    pub fn allowed_origins<S: Into<String>>(self, _origins: impl IntoIterator<Item = S>) -> Self {
        self
    }
    /// The clock.
    #[must_use]
    pub fn clock(self, _clock: Arc<dyn Clock>) -> Self {
        self
    }
    /// Builds the hub, not started.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the setting.
    pub fn build(self) -> Result<Hub, BuildError> {
        unimplemented!()
    }
}

impl Hub {
    /// A builder.
    #[must_use]
    pub fn builder() -> HubBuilder {
        unimplemented!()
    }
    /// Starts accepting clients.
    pub async fn start(&self) {
        unimplemented!()
    }
    /// Stops.
    pub async fn stop(&self, _grace: Duration) -> ShutdownReport {
        unimplemented!()
    }
    /// Is it started and not stopping?
    #[must_use]
    pub fn is_running(&self) -> bool {
        unimplemented!()
    }
    /// Serves.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub async fn serve(&self, _listener: TcpListener) -> Result<(), ServeError> {
        unimplemented!()
    }
    /// Answers an upgrade request: 101, or why not.
    pub async fn upgrade(&self, _upgrade: HubUpgrade) -> http::Response<String> {
        unimplemented!()
    }
    /// Serves one client on a stream whose upgrade is done.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn serve_stream<S>(&self, _stream: S, _handshake: Handshake) -> Result<(), Refusal>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        unimplemented!()
    }
    /// Publishes.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub async fn publish(&self, _topic: &str, _data: Payload) -> Result<Published, PublishError> {
        unimplemented!()
    }
    /// Delivers a publication that the application has stored.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub fn publish_at(
        &self,
        _topic: &str,
        _publication: Publication,
        _epoch: &str,
    ) -> Result<Published, PublishError> {
        unimplemented!()
    }
    /// Disconnects; returns how many connections.
    pub fn disconnect<'a>(&self, _target: impl Into<Target<'a>>, _why: Disconnect) -> usize {
        unimplemented!()
    }
    /// Unsubscribes; returns how many subscriptions.
    pub fn unsubscribe<'a>(&self, _target: impl Into<Target<'a>>, _topic: &str) -> usize {
        unimplemented!()
    }
    /// Lists clients.
    #[must_use]
    pub fn clients(&self, _after: Option<ConnectionId>, _limit: usize) -> ClientPage {
        unimplemented!()
    }
    /// A snapshot.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        unimplemented!()
    }
}
