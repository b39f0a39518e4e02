use std::sync::Arc;

use super::{Failure, Session};
use crate::{
    Disconnect,
    connection::Connection,
    protocol::{Empty, ErrorReply, ReplyBody, Since},
    recovery::Recovery,
    registry::JoinError,
    shared::{unsubscribed_by_server, within},
    topic::Activated,
};

impl Session {
    pub(super) async fn subscribe(
        &self,
        id: u32,
        topic: &str,
        since: Option<&Since<'_>>,
    ) -> Result<(), Failure> {
        let client = self.client()?;
        self.check_name(topic)?;
        let asked = self.authorizer()?.may_subscribe(&client.identity, topic);
        self.permit(client, asked).await?;
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
    pub(super) async fn prepare(
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
    pub(super) fn activate(
        &self,
        connection: &Arc<Connection>,
        topic: &str,
        recovery: Option<&Recovery>,
    ) {
        let place = recovery.map(Recovery::place);
        match self.shared.registry.activate(connection, topic, place) {
            Activated::Active(delivery) => self.shared.finish(Some(&self.run), topic, delivery),
            Activated::Left => {
                self.outbox.push(unsubscribed_by_server(topic));
            }
        }
    }

    pub(super) fn unsubscribe(&self, id: u32, topic: &str) -> Result<(), Failure> {
        let connection = &self.client()?.connection;
        // Unsubscribing twice is no error: the server may have been first.
        self.shared.registry.leave(connection, topic, None, None);
        self.reply(id, &ReplyBody::Unsubscribe(Empty {}));
        Ok(())
    }
}
