//! The hub's ports: who clients are, what they may do, and where `user:<id>` is recovered from.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use steadfast_notifications::{NotificationStore, Push, UserEvent, UserId};
use steadfast_privacy::Connections;
use steadfast_ws_hub::{
    AuthenticateError, Authenticator, Authorizer, Disconnect, Handshake, History, HistoryPage, Hub,
    Identity, MemoryHistory, Payload, PortError, Publication, StreamPosition,
};

use uuid::Uuid;

use crate::accounts::{AccountError, Accounts, Principal, Scope};

/// What the personal channels' names begin with; the rest is the user's id.
const USER: &str = "user:";

/// What the names of the channels that anybody may read begin with.
const TOPIC: &str = "topic:";

/// What a client is, to the hub: subscribed to its user's channel from the start.
#[must_use]
pub fn identity(principal: &Principal) -> Identity {
    let user = principal.user.id.to_string();
    let channel = format!("{USER}{user}");
    let scopes = Scope::ALL
        .into_iter()
        .filter(|scope| principal.has_scope(*scope));
    let mut identity = Identity::new(user).with_scopes(scopes.map(Scope::as_str));
    if principal.has_scope(Scope::NotificationsRead) {
        identity = identity.subscribed_to(channel);
    }
    match principal.expires_at().map(SystemTime::try_from) {
        Some(Ok(end)) => identity.expires_at(end),
        // Beyond what the system's time can express is never.
        Some(Err(_)) | None => identity,
    }
}

/// Knows clients by the API token of their `connect` command; cookies, headers and tickets have
/// been looked at before the hub is asked.
#[derive(Debug)]
pub struct TokenAuthenticator {
    accounts: Arc<Accounts>,
}

impl TokenAuthenticator {
    /// An authenticator that asks `accounts`.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self { accounts }
    }
}

#[async_trait]
impl Authenticator for TokenAuthenticator {
    async fn handshake(&self, _: &Handshake) -> Result<Option<Identity>, AuthenticateError> {
        Ok(None)
    }

    async fn token(&self, _: &Handshake, token: &str) -> Result<Identity, AuthenticateError> {
        match self.accounts.by_token(token).await {
            Ok(principal) => Ok(identity(&principal)),
            Err(AccountError::Store { source }) => Err(AuthenticateError::Unavailable {
                source: PortError::transient("looking the token up", source),
            }),
            Err(_) => Err(AuthenticateError::Rejected),
        }
    }
}

/// Topics are for everybody to read, and for the scope `topics:write` to write; nobody subscribes
/// to another user's channel, and no client writes to one.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicAuthorizer;

#[async_trait]
impl Authorizer for TopicAuthorizer {
    async fn may_subscribe(&self, identity: &Identity, topic: &str) -> Result<bool, PortError> {
        let own = topic
            .strip_prefix(USER)
            .is_some_and(|user| user == identity.user);
        Ok((own && has_scope(identity, Scope::NotificationsRead)) || is_topic(topic))
    }

    async fn may_publish(&self, identity: &Identity, topic: &str) -> Result<bool, PortError> {
        Ok(is_topic(topic) && has_scope(identity, Scope::TopicsWrite))
    }
}

/// Recovers the personal channels from the users' event logs in the database, and topics from
/// memory.
pub struct ChannelHistory {
    store: Arc<dyn NotificationStore>,
    topics: MemoryHistory,
}

impl std::fmt::Debug for ChannelHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelHistory").finish_non_exhaustive()
    }
}

impl ChannelHistory {
    /// A history over the notifications' store.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>, topics: MemoryHistory) -> Self {
        Self { store, topics }
    }
}

#[async_trait]
impl History for ChannelHistory {
    fn covers(&self, topic: &str) -> bool {
        user(topic).is_some() || (is_topic(topic) && self.topics.covers(topic))
    }

    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError> {
        if user(topic).is_some() {
            let reason = "events of users are stored by the notifications, not by the hub";
            return Err(PortError::permanent("storing a publication", reason));
        }
        self.topics.append(topic, data).await
    }

    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError> {
        let Some(user) = user(topic) else {
            return self.topics.read(topic, after, limit).await;
        };
        const OPERATION: &str = "reading a user's events";
        // Without a position only the end of the log is asked for.
        let (after, limit) = after.map_or((0, 0), |after| (after, limit));
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let page = self
            .store
            .events(user, after, limit)
            .await
            .map_err(|error| port_error(OPERATION, error.is_transient(), error))?;
        let publications = page
            .events
            .iter()
            .map(publication)
            .collect::<Result<_, _>>()
            .map_err(|error| PortError::permanent(OPERATION, error))?;
        Ok(HistoryPage {
            top: StreamPosition::new(page.newest, page.epoch),
            publications,
        })
    }
}

/// Pushes users' events to their connected clients.
#[derive(Clone, Debug)]
pub struct HubPush {
    hub: Hub,
}

impl HubPush {
    /// Pushes through `hub`.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self { hub }
    }
}

#[async_trait]
impl Push for HubPush {
    async fn push(
        &self,
        user: UserId,
        epoch: &str,
        event: &UserEvent,
    ) -> Result<(), steadfast_notifications::PortError> {
        use steadfast_notifications::PortError;

        let publication = publication(event).map_err(PortError::permanent)?;
        self.hub
            .publish_at(&format!("{USER}{user}"), publication, epoch)
            .map(drop)
            .map_err(PortError::transient)
    }
}

/// Closes the connections of users who are erased.
#[derive(Clone, Debug)]
pub struct HubConnections {
    hub: Hub,
}

impl HubConnections {
    /// Those of `hub`.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self { hub }
    }
}

#[async_trait]
impl Connections for HubConnections {
    async fn close(&self, user: Uuid) {
        let user = user.to_string();
        let why = Disconnect::FORCE_NO_RECONNECT;
        self.hub.disconnect(user.as_str(), why);
    }
}

fn publication(event: &UserEvent) -> Result<Publication, steadfast_ws_hub::PayloadError> {
    Ok(Publication::new(
        event.offset,
        Payload::encode(&event.payload)?,
    ))
}

fn user(topic: &str) -> Option<UserId> {
    topic.strip_prefix(USER)?.parse().ok()
}

fn is_topic(topic: &str) -> bool {
    topic
        .strip_prefix(TOPIC)
        .is_some_and(|name| !name.is_empty())
}

fn has_scope(identity: &Identity, scope: Scope) -> bool {
    identity.scopes.iter().any(|name| name == scope.as_str())
}

fn port_error(
    operation: &'static str,
    transient: bool,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PortError {
    if transient {
        PortError::transient(operation, source)
    } else {
        PortError::permanent(operation, source)
    }
}
