use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use steadfast_sync::RateLimiter;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    AuthenticateError, Disconnect, Handshake, Identity, Payload, PortError,
    connection::{Connection, NewConnection},
    outbox::Outbox,
    protocol::{
        Command, ConnectRequest, ConnectResult, Empty, ErrorReply, PublishRequest, ReplyBody,
        Request, RpcRequest, RpcResult, Since, encode_reply,
    },
    recovery::Recovery,
    registry::{JoinError, RegisterError},
    run::Run,
    shared::{Shared, unsubscribed_by_server, within},
    topic::Activated,
};

/// One client's conversation: its commands, one after the other.
///
/// Dropping it deregisters the client, so that no way to end leaves anything behind.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    run: Arc<Run>,
    handshake: Handshake,
    outbox: Arc<Outbox>,
    limiter: RateLimiter,
    client: Option<Client>,
    /// Why it ends, for the observer.
    ending: Disconnect,
}

#[derive(Debug)]
struct Client {
    connection: Arc<Connection>,
    identity: Identity,
}

/// A command that failed.
enum Failure {
    /// The client is told and goes on.
    Reply(ErrorReply),
    /// The connection ends.
    Disconnect(Disconnect),
}

impl From<ErrorReply> for Failure {
    fn from(error: ErrorReply) -> Self {
        Self::Reply(error)
    }
}

impl From<Disconnect> for Failure {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        warn!(%error, source, "command failed");
        Self::Reply(ErrorReply::INTERNAL)
    }
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        run: Arc<Run>,
        handshake: Handshake,
        outbox: Arc<Outbox>,
    ) -> Self {
        let limiter = RateLimiter::builder(shared.quota)
            .name("commands of a client")
            .clock(shared.clock.clone())
            .build()
            // Only a bound on waiters could be refused, and nobody waits here.
            .unwrap_or_else(|_| RateLimiter::new(shared.quota));
        Self {
            shared,
            run,
            handshake,
            outbox,
            limiter,
            client: None,
            ending: Disconnect::CONNECTION_CLOSED,
        }
    }

    /// The registered connection, once the client has connected.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.client.as_ref().map(|client| &*client.connection)
    }

    /// Handles the commands of one message.
    pub(crate) async fn handle(&mut self, message: &str) -> Result<(), Disconnect> {
        for line in message.split('\n') {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            self.room().await;
            let command = Command::parse(line).map_err(|error| {
                debug!(%error, "malformed command");
                Disconnect::BAD_REQUEST
            })?;
            self.command(command).await?;
            if let Some(connection) = self.connection() {
                connection.touch();
            }
        }
        Ok(())
    }

    /// Ends the session: the client is in no index any more.
    pub(crate) fn end(mut self, disconnect: &Disconnect) {
        self.ending = disconnect.clone();
    }

    /// Waits until the client has read some of what it asked for.
    ///
    /// The task that polls this also writes, and looks again after it.
    async fn room(&self) {
        poll_fn(|_| {
            if self.outbox.has_room() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    async fn command(&mut self, command: Command<'_>) -> Result<(), Disconnect> {
        let id = command.id;
        let request = command.request();
        match (&request, id) {
            (Request::Pong | Request::Send, _) if self.client.is_some() => return Ok(()),
            (_, 0) => return Err(Disconnect::BAD_REQUEST),
            _ => {}
        }
        if self.client.is_none() != matches!(request, Request::Connect(_)) {
            return Err(Disconnect::BAD_REQUEST);
        }
        let done = if self.limiter.try_acquire(1).is_err() {
            Err(ErrorReply::TOO_MANY_REQUESTS.into())
        } else {
            self.request(id, request).await
        };
        match done {
            Ok(()) => Ok(()),
            Err(Failure::Reply(error)) => {
                self.reply(id, &ReplyBody::Error(error));
                Ok(())
            }
            Err(Failure::Disconnect(disconnect)) => Err(disconnect),
        }
    }

    async fn request(&mut self, id: u32, request: Request<'_>) -> Result<(), Failure> {
        match request {
            Request::Connect(connect) => self.connect(id, &connect).await?,
            Request::Subscribe { topic, since } => {
                self.subscribe(id, &topic, since.as_ref()).await?;
            }
            Request::Unsubscribe(topic) => self.unsubscribe(id, &topic)?,
            Request::Publish(publish) => {
                self.publish(&publish).await?;
                self.reply(id, &ReplyBody::Publish(Empty {}));
            }
            Request::Rpc(rpc) => self.rpc(id, &rpc).await?,
            Request::Ping => self.reply(id, &ReplyBody::Ping(Empty {})),
            Request::NotAvailable => return Err(ErrorReply::NOT_AVAILABLE.into()),
            Request::Unknown | Request::Pong | Request::Send => {
                return Err(ErrorReply::METHOD_NOT_FOUND.into());
            }
        }
        Ok(())
    }

    fn reply(&self, id: u32, body: &ReplyBody<'_>) {
        // Where the client is on its way out nobody needs the reply.
        self.outbox.push(encode_reply(id, body));
    }

    async fn connect(&mut self, id: u32, request: &ConnectRequest<'_>) -> Result<(), Failure> {
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

    async fn subscribe(
        &self,
        id: u32,
        topic: &str,
        since: Option<&Since<'_>>,
    ) -> Result<(), Failure> {
        let client = self.client()?;
        self.check_name(topic)?;
        let allowed = match &self.shared.authorizer {
            Some(authorizer) => {
                let call = authorizer.may_subscribe(&client.identity, topic);
                within(self.shared.limits.command_timeout, "authorize", call).await?
            }
            None => false,
        };
        if !allowed {
            return Err(ErrorReply::PERMISSION_DENIED.into());
        }
        let connection = &client.connection;
        let budget = self.shared.limits.reply_bytes();
        let recovery = self.prepare(connection, topic, since, budget, false);
        let recovery = recovery.await?;
        let result = recovery.as_ref().map(Recovery::result);
        self.reply(id, &ReplyBody::Subscribe(result.unwrap_or_default()));
        self.activate(connection, topic, recovery.as_ref());
        Ok(())
    }

    /// Joins the topic, so that live publications wait from now on, and then reads its history.
    async fn prepare(
        &self,
        connection: &Arc<Connection>,
        topic: &str,
        since: Option<&Since<'_>>,
        budget: usize,
        server_side: bool,
    ) -> Result<Option<Recovery>, Failure> {
        let shared = &self.shared;
        let joined = shared.registry.join(connection, topic, server_side);
        joined.map_err(|error| match error {
            JoinError::Closed => Failure::Disconnect(Disconnect::CONNECTION_CLOSED),
            JoinError::AlreadySubscribed => ErrorReply::ALREADY_SUBSCRIBED.into(),
            JoinError::Limit => ErrorReply::LIMIT_EXCEEDED.into(),
        })?;
        let Some(history) = shared.history_of(topic) else {
            return Ok(None);
        };
        // Offsets fit the integers of SQL.
        let after = since.map(|since| since.offset.min(i64::MAX as u64));
        let read = history.read(topic, after, shared.limits.recovery_messages);
        match within(shared.limits.command_timeout, "read history", read).await {
            Ok(page) => Ok(Some(Recovery::new(page, since, budget))),
            Err(error) => {
                // It is pending: marked to leave, it is gone on activation.
                shared.registry.leave(connection, topic, None, None);
                shared.registry.activate(connection, topic, None);
                Err(error.into())
            }
        }
    }

    /// Lets live publications follow the acknowledgement, which is queued.
    fn activate(&self, connection: &Arc<Connection>, topic: &str, recovery: Option<&Recovery>) {
        let place = recovery.map(Recovery::place);
        match self.shared.registry.activate(connection, topic, place) {
            Activated::Active(delivery) => self.shared.finish(Some(&self.run), topic, delivery),
            Activated::Left => {
                self.outbox.push(unsubscribed_by_server(topic));
            }
        }
    }

    fn unsubscribe(&self, id: u32, topic: &str) -> Result<(), Failure> {
        let connection = &self.client()?.connection;
        // Unsubscribing twice is no error: the server may have been first.
        self.shared.registry.leave(connection, topic, None, None);
        self.reply(id, &ReplyBody::Unsubscribe(Empty {}));
        Ok(())
    }

    async fn publish(&self, request: &PublishRequest<'_>) -> Result<(), Failure> {
        let client = self.client()?;
        let topic = &*request.channel;
        self.check_name(topic)?;
        let data = request.data.ok_or(ErrorReply::BAD_REQUEST)?;
        let data = Payload::from_raw(data).map_err(|_| ErrorReply::BAD_REQUEST)?;
        let Some(authorizer) = &self.shared.authorizer else {
            return Err(ErrorReply::PERMISSION_DENIED.into());
        };
        let call = authorizer.may_publish(&client.identity, topic);
        let deadline = self.shared.limits.command_timeout;
        if !within(deadline, "authorize", call).await? {
            return Err(ErrorReply::PERMISSION_DENIED.into());
        }
        let publish = self.shared.publish(Some(&self.run), topic, data);
        match timeout(deadline, publish).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                warn!(%error, "publication of a client failed");
                Err(ErrorReply::INTERNAL.into())
            }
            Err(_) => Err(ErrorReply::INTERNAL.into()),
        }
    }

    async fn rpc(&self, id: u32, request: &RpcRequest<'_>) -> Result<(), Failure> {
        let client = self.client()?;
        let Some(handler) = &self.shared.rpc else {
            return Err(ErrorReply::NOT_AVAILABLE.into());
        };
        let data = match request.data {
            Some(raw) => Payload::from_raw(raw),
            None => Payload::from_json("null"),
        };
        let data = data.map_err(|_| ErrorReply::BAD_REQUEST)?;
        let call = handler.call(&client.identity, &request.method, &data);
        let answer = timeout(self.shared.limits.command_timeout, call).await;
        let answer = answer.map_err(|_| ErrorReply::INTERNAL)?;
        let answer = answer.map_err(ErrorReply::from)?;
        if answer.len() > self.shared.limits.reply_bytes() {
            warn!(
                method = &*request.method,
                bytes = answer.len(),
                "rpc answer too large"
            );
            return Err(ErrorReply::INTERNAL.into());
        }
        let data = answer.as_raw();
        self.reply(id, &ReplyBody::Rpc(RpcResult { data }));
        Ok(())
    }

    fn client(&self) -> Result<&Client, Failure> {
        let client = self.client.as_ref();
        client.ok_or(Failure::Disconnect(Disconnect::BAD_REQUEST))
    }

    fn check_name(&self, topic: &str) -> Result<(), ErrorReply> {
        match topic.len() {
            0 => Err(ErrorReply::BAD_REQUEST),
            len if len > self.shared.limits.topic_bytes => Err(ErrorReply::UNKNOWN_TOPIC),
            _ => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        self.outbox.close(self.ending.clone());
        self.shared.counters.count_ending(&self.ending);
        if self.shared.registry.deregister(&client.connection)
            && let Some(observer) = &self.shared.observer
        {
            observer.on_close(&client.connection.info(), &self.ending);
        }
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
