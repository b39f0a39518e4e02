use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::timeout;
use tracing::debug;

use super::{Client, Failure, Session};
use crate::{
    AuthenticateError, Disconnect, Handshake, Identity, Payload, PortError,
    connection::{Connection, NewConnection},
    protocol::{ConnectRequest, ConnectResult, ErrorReply, ReplyBody},
    recovery::Recovery,
    registry::RegisterError,
};

impl Session {
    pub(super) async fn connect(
        &mut self,
        id: u32,
        request: &ConnectRequest<'_>,
    ) -> Result<(), Failure> {
        let identity = self.authenticate(&request.token).await.map_err(|error| {
            debug!(%error, "connect refused");
            match error {
                AuthenticateError::Rejected => Disconnect::INVALID_TOKEN.into(),
                AuthenticateError::Expired => Failure::Reply(ErrorReply::TOKEN_EXPIRED),
                AuthenticateError::Unavailable { .. } => Disconnect::SERVER_ERROR.into(),
            }
        })?;
        let connection = self.register(&identity)?;
        self.client = Some(Client {
            connection: connection.clone(),
            identity: identity.clone(),
        });
        if let Some(observer) = &self.shared.observer {
            observer.on_open(&connection.info());
        }
        self.shared.heartbeat.watch(&connection);
        // Headers are no longer needed, and not small.
        self.handshake = Handshake::default();

        let topics = &identity.server_subscriptions;
        let mut recoveries = BTreeMap::new();
        let mut budget = self.shared.limits.reply_bytes();
        for topic in topics {
            if recoveries.contains_key(topic.as_str()) {
                continue;
            }
            let since = request.since(topic);
            let recovery = self.prepare(&connection, topic, since.as_ref(), budget, true);
            let recovery = recovery.await.map_err(server_side)?;
            budget -= recovery.as_ref().map_or(0, Recovery::bytes);
            recoveries.insert(topic.as_str(), recovery);
            connection.touch();
        }
        let subs = recoveries.iter().map(|(&topic, recovery)| {
            let result = recovery.as_ref().map(Recovery::result);
            (topic, result.unwrap_or_default())
        });
        let result = ConnectResult {
            client: format!("{:x}-{}", self.shared.instance, connection.id),
            version: env!("CARGO_PKG_VERSION"),
            data: identity.info.as_ref().map(Payload::as_raw),
            subs: subs.collect(),
            ping: self.shared.limits.ping_interval.as_secs_f64().ceil() as u64,
            pong: true,
        };
        self.reply(id, &ReplyBody::Connect(result));
        for (topic, recovery) in &recoveries {
            self.activate(&connection, topic, recovery.as_ref());
        }
        Ok(())
    }

    /// The identity behind the token, or the one the handshake established.
    async fn authenticate(&mut self, token: &str) -> Result<Identity, AuthenticateError> {
        if token.is_empty() {
            let known = self.handshake.identity.take();
            return known.ok_or(AuthenticateError::Rejected);
        }
        let deadline = self.shared.limits.authenticate_timeout;
        let call = self.shared.authenticator.token(&self.handshake, token);
        timeout(deadline, call).await.unwrap_or_else(|elapsed| {
            let source = PortError::transient("authenticate the token", elapsed);
            Err(AuthenticateError::Unavailable { source })
        })
    }

    fn register(&self, identity: &Identity) -> Result<Arc<Connection>, Disconnect> {
        let wall = self.shared.clock.wall();
        if identity.expires.is_some_and(|expires| expires <= wall) {
            return Err(Disconnect::EXPIRED);
        }
        let new = NewConnection {
            user: identity.user.as_str().into(),
            remote: self.handshake.remote,
            since: wall,
            expires: identity.expires,
            outbox: self.outbox.clone(),
        };
        let registered = self.shared.registry.register(new);
        let connection = registered.map_err(|error| match error {
            RegisterError::UserLimit => Disconnect::CONNECTION_LIMIT,
            RegisterError::Closed => Disconnect::SHUTDOWN,
        })?;
        let opened = &self.shared.counters.opened;
        opened.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }
}

/// A server-side subscription that cannot be made ends the connection, so that the client tries
/// the whole again.
fn server_side(failure: Failure) -> Failure {
    match failure {
        Failure::Reply(_) => Failure::Disconnect(Disconnect::SERVER_ERROR),
        disconnect => disconnect,
    }
}
