use async_trait::async_trait;

use crate::{
    AuthenticateError, ClientInfo, Disconnect, Handshake, HistoryPage, Identity, Payload,
    PortError, RpcError, StreamPosition,
};

/// Finds out who a client is.
///
/// Both methods run under [`Limits::authenticate_timeout`](crate::Limits); a call that takes
/// longer is dropped and counts as [`AuthenticateError::Unavailable`].
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Judges the upgrade request before it is answered.
    ///
    /// `None` leaves the decision to the token of the connect command. Not called when
    /// [`Handshake::identity`] is set.
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// Any error refuses the upgrade (401, or 503 where it is unavailable).
    async fn handshake(&self, handshake: &Handshake)
    -> Result<Option<Identity>, AuthenticateError>;

    /// Judges the token of the connect command; it is never empty.
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// Rejected closes with 3500; expired answers 109, so that the client fetches a new token;
    /// unavailable closes with 3004, so that it tries again.
    async fn token(
        &self,
        handshake: &Handshake,
        token: &str,
    ) -> Result<Identity, AuthenticateError>;
}

/// Says what a client may do.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// May the client subscribe to `topic`?
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// [`PortError`] when it cannot tell: the client gets a temporary error, not a refusal.
    async fn may_subscribe(&self, identity: &Identity, topic: &str) -> Result<bool, PortError>;

    /// May the client publish to `topic`?
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// [`PortError`] when it cannot tell: the client gets a temporary error, not a refusal.
    async fn may_publish(&self, identity: &Identity, topic: &str) -> Result<bool, PortError>;
}

/// Keeps the publications of topics, so that clients can recover what they missed.
///
/// An implementation may be durable: the application then stores an event itself, in its own
/// transaction, and hands it over by [`Hub::publish_at`](crate::Hub::publish_at).
///
/// Every implementation must pass [`testing::history_conformance`](crate::testing) (feature
/// `test-util`).
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Does `topic` have a history?
    ///
    /// The answer for one topic never changes. A topic without is delivered at most once.
    fn covers(&self, topic: &str) -> bool;

    /// Stores a publication at the end of the stream and returns its position.
    ///
    /// # Cancel safety
    ///
    /// When dropped the publication is stored or not; it is never stored in part.
    ///
    /// # Errors
    ///
    /// [`PortError`] when it was not stored.
    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError>;

    /// Reads the end of the stream and up to `limit` publications with an offset above `after`,
    /// oldest first; none when `after` is `None`.
    ///
    /// The two belong together: no publication above `top` is in the page. Publications that are
    /// no longer kept are left out at the front, never in the middle. A topic that was never
    /// written has offset 0 and an epoch that stays.
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// [`PortError`] when it cannot read; the client is told and tries again.
    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError>;
}

/// Answers the `rpc` commands of clients.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RpcHandler: Send + Sync + 'static {
    /// Answers one call; `data` is `null` where the client sent none.
    ///
    /// # Cancel safety
    ///
    /// Must tolerate being dropped at any await.
    ///
    /// # Errors
    ///
    /// [`RpcError`] goes to the client as it is.
    async fn call(
        &self,
        identity: &Identity,
        method: &str,
        data: &Payload,
    ) -> Result<Payload, RpcError>;
}

/// Is told when clients come and go.
///
/// Each `on_open` is followed by exactly one `on_close` of the same connection. Both are called
/// on the connection's own task and must neither block nor panic.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait Observer: Send + Sync + 'static {
    /// A client is registered.
    fn on_open(&self, client: &ClientInfo);

    /// A client is no longer registered, and why.
    fn on_close(&self, client: &ClientInfo, disconnect: &Disconnect);
}
