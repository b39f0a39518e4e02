use std::{future::poll_fn, sync::Arc, task::Poll};

use steadfast_sync::RateLimiter;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    Authorizer, Disconnect, Handshake, Identity, Payload, PortError,
    connection::Connection,
    outbox::Outbox,
    protocol::{
        Command, Empty, ErrorReply, PublishRequest, ReplyBody, Request, RpcRequest, RpcResult,
        encode_reply,
    },
    run::Run,
    shared::{Shared, within},
};

mod connect;
mod subscribe;

/// One client's conversation: its commands, one after the other.
///
/// Dropping it deregisters the client, so that no way to end leaves anything behind.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    run: Arc<Run>,
    outbox: Arc<Outbox>,
    limiter: RateLimiter,
    stage: Stage,
    /// Why it ends, for the observer.
    ending: Disconnect,
}

#[derive(Debug)]
enum Stage {
    /// Before the connect command. Boxed: it is large, and not kept for long.
    Opening(Box<Handshake>),
    /// Registered.
    Open(Client),
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
        handshake: Box<Handshake>,
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
            outbox,
            limiter,
            stage: Stage::Opening(handshake),
            ending: Disconnect::CONNECTION_CLOSED,
        }
    }

    /// The registered connection, once the client has connected.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.stage {
            Stage::Opening(_) => None,
            Stage::Open(client) => Some(&client.connection),
        }
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
            let id = command.id;
            // Boxed: a command at work is large, and a connection is idle as a rule.
            Box::pin(self.command(id, command.request())).await?;
            match self.connection() {
                Some(connection) => connection.touch(),
                // The connect command failed, and what is behind it fails with it.
                None => break,
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
    /// The task that polls this also writes, and looks again when it could.
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

    async fn command(&mut self, id: u32, request: Request<'_>) -> Result<(), Disconnect> {
        let connected = self.connection().is_some();
        match (&request, id) {
            (Request::Pong | Request::Send, _) if connected => return Ok(()),
            (_, 0) => return Err(Disconnect::BAD_REQUEST),
            _ => {}
        }
        if connected == matches!(request, Request::Connect(_)) {
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

    async fn publish(&self, request: &PublishRequest<'_>) -> Result<(), Failure> {
        let client = self.client()?;
        let topic = &*request.channel;
        self.check_name(topic)?;
        let data = request.data.ok_or(ErrorReply::BAD_REQUEST)?;
        let data = Payload::from_raw(data).map_err(|_| ErrorReply::BAD_REQUEST)?;
        let asked = self.authorizer()?.may_publish(&client.identity, topic);
        self.permit(client, asked).await?;
        let publish = self.shared.publish(Some(&self.run), topic, data);
        match timeout(self.shared.limits.command_timeout, publish).await {
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

    /// Fails unless the authorizer says yes.
    async fn permit(
        &self,
        client: &Client,
        asked: impl Future<Output = Result<bool, PortError>>,
    ) -> Result<(), Failure> {
        let allowed = within(self.shared.limits.command_timeout, "authorize", asked).await?;
        // Nobody read what the client sent meanwhile: that is not its silence.
        client.connection.touch();
        if allowed {
            Ok(())
        } else {
            Err(ErrorReply::PERMISSION_DENIED.into())
        }
    }

    fn authorizer(&self) -> Result<&dyn Authorizer, ErrorReply> {
        let authorizer = self.shared.authorizer.as_deref();
        authorizer.ok_or(ErrorReply::PERMISSION_DENIED)
    }

    fn client(&self) -> Result<&Client, Failure> {
        match &self.stage {
            Stage::Opening(_) => Err(Disconnect::BAD_REQUEST.into()),
            Stage::Open(client) => Ok(client),
        }
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
        let Stage::Open(client) = &self.stage else {
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
