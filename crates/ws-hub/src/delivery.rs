use std::sync::{Arc, atomic::Ordering};

use steadfast_sync::LockError;

use crate::{
    Disconnect, Payload, Publication, PublishError, Published, StreamPosition,
    protocol::{encode_publication, encode_unsubscribe},
    run::Run,
    shared::{Shared, within},
    subscription::{Live, Place},
    topic::Delivery,
};

/// An unsubscribe push after which the client subscribes again, to recover.
const INSUFFICIENT_STATE: (u32, &str) = (2500, "insufficient state");

impl Shared {
    /// Stores a publication, where the topic has a history, and hands it over.
    ///
    /// # Cancel safety
    ///
    /// When dropped while the history stores it, it may be stored and not yet handed over: the
    /// next publication finds the gap and repairs it.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        run: Option<&Arc<Run>>,
        topic: &str,
        data: Payload,
    ) -> Result<Published, PublishError> {
        self.check(topic, &data)?;
        let Some(history) = self.history_of(topic) else {
            let receivers = self.deliver(run, topic, None, &data);
            let position = None;
            return Ok(Published {
                position,
                receivers,
            });
        };
        let turn = self.publishers.lock(topic.into()).await;
        let _turn = turn.map_err(|error: LockError| PublishError::Busy {
            topic: topic.to_owned(),
            source: error,
        })?;
        let append = history.append(topic, &data);
        let appended = within(self.limits.command_timeout, "append to history", append);
        let position = appended.await.map_err(|source| PublishError::Append {
            topic: topic.to_owned(),
            source,
        })?;
        let receivers = self.deliver(run, topic, Some(place(&position)), &data);
        Ok(Published {
            position: Some(position),
            receivers,
        })
    }

    /// Hands over a publication that is stored already.
    pub(crate) fn publish_at(
        self: &Arc<Self>,
        run: Option<&Arc<Run>>,
        topic: &str,
        publication: Publication,
        epoch: &str,
    ) -> Result<Published, PublishError> {
        self.check(topic, &publication.data)?;
        if self.history_of(topic).is_none() {
            let topic = topic.to_owned();
            return Err(PublishError::NoHistory { topic });
        }
        let position = StreamPosition::new(publication.offset, epoch);
        let receivers = self.deliver(run, topic, Some(place(&position)), &publication.data);
        Ok(Published {
            position: Some(position),
            receivers,
        })
    }

    fn check(&self, topic: &str, data: &Payload) -> Result<(), PublishError> {
        let (len, max) = (topic.len(), self.limits.topic_bytes);
        if len == 0 || len > max {
            return Err(PublishError::TopicName { len, max });
        }
        let (len, max) = (data.len(), self.limits.message_bytes);
        if len > max {
            return Err(PublishError::TooLarge { len, max });
        }
        Ok(())
    }

    /// Hands a publication to the subscribers; returns how many queues it was put into.
    ///
    /// Synchronous: it happens as a whole, and in the order of the calls.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        run: Option<&Arc<Run>>,
        topic: &str,
        at: Option<Place>,
        data: &Payload,
    ) -> usize {
        let delivery = self.registry.deliver(topic, || live(topic, at, data));
        let queued = delivery.queued;
        self.finish(run, topic, delivery);
        queued
    }

    /// Does what a delivery left to do.
    pub(crate) fn finish(
        self: &Arc<Self>,
        run: Option<&Arc<Run>>,
        topic: &str,
        delivery: Delivery,
    ) {
        let counters = &self.counters;
        let queued = delivery.queued as u64;
        counters.delivered.fetch_add(queued, Ordering::Relaxed);
        for broken in delivery.broken {
            let connection = &broken.connection;
            if broken.server_side {
                connection.outbox.close(Disconnect::INSUFFICIENT_STATE);
            } else {
                let (code, reason) = INSUFFICIENT_STATE;
                let farewell = encode_unsubscribe(topic, code, reason);
                let serial = Some(broken.serial);
                self.registry
                    .leave(connection, topic, serial, Some(farewell));
            }
        }
        if delivery.repair {
            self.start_repair(run, topic);
        }
    }
}

/// Encodes a message once for all who get it.
pub(crate) fn live(topic: &str, at: Option<Place>, data: &Payload) -> Live {
    let frame = encode_publication(topic, at.as_ref().map(|at| at.offset), data);
    Live { at, frame }
}

fn place(position: &StreamPosition) -> Place {
    Place {
        offset: position.offset,
        epoch: position.epoch.as_str().into(),
    }
}
