use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use tokio::time::timeout;
use tracing::debug;

use super::{Client, Failure, Session, Stage};
use crate::{
    AuthenticateError, Disconnect, Handshake, Identity, Payload, PortError,
    connection::{Connection, NewConnection},
    protocol::{ConnectRequest, ConnectResult, ErrorReply, ReplyBody},
    recovery::Recovery,
    registry::RegisterError,
    shared::Shared,
};

impl Session {
    pub(super) async fn connect(
        &mut self,
        id: u32,
        request: &ConnectRequest<'_>,
    ) -> Result<(), Failure> {
        let Stage::Opening(handshake) = &mut self.stage else {
            return Err(Disconnect::BAD_REQUEST.into());
        };
        let identity = authenticate(&self.shared, handshake, &request.token).await;
        let identity = identity.map_err(|error| {
            debug!(%error, "connect refused");
            match error {
                AuthenticateError::Rejected => Disconnect::INVALID_TOKEN.into(),
                AuthenticateError::Expired => Failure::Reply(ErrorReply::TOKEN_EXPIRED),
                AuthenticateError::Unavailable { .. } => Disconnect::SERVER_ERROR.into(),
            }
        })?;
        let remote = handshake.remote;
        let connection = self.register(&identity, remote)?;
        self.stage = Stage::Open(Client {
            connection: connection.clone(),
            identity: identity.clone(),
        });
        if let Some(observer) = &self.shared.observer {
            observer.on_open(&connection.info());
        }
        self.shared.heartbeat.watch(&connection);

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

    fn register(
        &self,
        identity: &Identity,
        remote: Option<SocketAddr>,
    ) -> Result<Arc<Connection>, Disconnect> {
        let wall = self.shared.clock.wall();
        if has_expired(identity, wall) {
            return Err(Disconnect::EXPIRED);
        }
        let new = NewConnection {
            user: identity.user.as_str().into(),
            remote,
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

/// The identity behind the token, or the one the handshake established.
async fn authenticate(
    shared: &Shared,
    handshake: &mut Handshake,
    token: &str,
) -> Result<Identity, AuthenticateError> {
    if token.is_empty() {
        let known = handshake.identity.take();
        return known.ok_or(AuthenticateError::Rejected);
    }
    let call = shared.authenticator.token(handshake, token);
    let answer = timeout(shared.limits.authenticate_timeout, call).await;
    let identity = answer.unwrap_or_else(|elapsed| {
        let source = PortError::transient("authenticate the token", elapsed);
        Err(AuthenticateError::Unavailable { source })
    })?;
    if has_expired(&identity, shared.clock.wall()) {
        return Err(AuthenticateError::Expired);
    }
    Ok(identity)
}

fn has_expired(identity: &Identity, wall: SystemTime) -> bool {
    identity.expires.is_some_and(|expires| expires <= wall)
}

/// A server-side subscription that cannot be made ends the connection, so that the client tries
/// the whole again.
fn server_side(failure: Failure) -> Failure {
    match failure {
        Failure::Reply(_) => Failure::Disconnect(Disconnect::SERVER_ERROR),
        disconnect => disconnect,
    }
}
