use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_util::task::TaskTracker;

use crate::{
    ClientPage, ConnectionId, Disconnect, Handshake, HubBuilder, HubStats, Payload, Publication,
    PublishError, Refusal, ShutdownReport, StreamPosition, Target, connection::Connection,
    lock::lock, run::Run, shared::Shared,
};

/// The hub. A handle: clones share it.
///
/// It owns every task that it starts, between [`start`](Self::start) and [`stop`](Self::stop);
/// when the last handle is dropped without a stop, clients are cut.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) phase: Mutex<Phase>,
    /// Shutdowns at work, which outlive the callers that wait for them.
    pub(crate) supervisors: TaskTracker,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Idle,
    Running(Arc<Run>),
    Stopping(watch::Receiver<Option<ShutdownReport>>),
}

impl Drop for Inner {
    /// Without a stop the tasks end as well, in no order.
    fn drop(&mut self) {
        if let Phase::Running(run) = &*lock(&self.phase) {
            run.drain.cancel();
            run.abort.cancel();
        }
    }
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its place in the stream, where the topic has a history.
    pub position: Option<StreamPosition>,
    /// Clients' queues it was put into at once; those that are recovering get it from history.
    pub receivers: usize,
}

impl Hub {
    /// A builder with the default limits and the machine's clock.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// Lets clients in. Started already, it does nothing; while the hub stops, it waits for that
    /// and starts anew.
    ///
    /// # Cancel safety
    ///
    /// When dropped the hub is started or not, nothing in between.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(&self) {
        loop {
            let mut stopping = {
                let mut phase = lock(&self.inner.phase);
                match &*phase {
                    Phase::Running(_) => return,
                    Phase::Idle => {
                        *phase = Phase::Running(Run::start(&self.inner.shared));
                        return;
                    }
                    Phase::Stopping(report) => report.clone(),
                }
            };
            if stopping.wait_for(Option::is_some).await.is_err() {
                // The runtime of that stop is gone, and with it every task.
                let mut phase = lock(&self.inner.phase);
                if matches!(&*phase, Phase::Stopping(report) if report.same_channel(&stopping)) {
                    *phase = Phase::Idle;
                }
            }
        }
    }

    /// Ends every connection and task, within `grace` and one moment.
    ///
    /// New clients are refused with 503 at once. What waits for a client is written, then a close
    /// frame 3001, spread over at most half of the grace; then the client's own close frame is
    /// awaited. What is left at the end of the grace is cut. Afterwards there is no task and no
    /// registered client, and the hub can be started again. Concurrent callers get one report.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on when its callers are dropped.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn stop(&self, grace: Duration) -> ShutdownReport {
        let mut stopping = {
            let mut phase = lock(&self.inner.phase);
            match &*phase {
                Phase::Idle => return ShutdownReport::default(),
                Phase::Stopping(report) => report.clone(),
                Phase::Running(run) => {
                    let run = run.clone();
                    let (done, report) = watch::channel(None);
                    *phase = Phase::Stopping(report.clone());
                    let inner = self.inner.clone();
                    self.inner.supervisors.spawn(async move {
                        let report = run.shut_down(&inner.shared, grace).await;
                        *lock(&inner.phase) = Phase::Idle;
                        done.send_replace(Some(report));
                    });
                    report
                }
            }
        };
        match stopping.wait_for(Option::is_some).await {
            Ok(report) => report.unwrap_or_default(),
            // The runtime is gone, and with it every task.
            Err(_) => ShutdownReport::default(),
        }
    }

    /// Is it started and not stopping?
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.run().is_some()
    }

    /// Attends one client on a stream whose upgrade is done, to its end.
    ///
    /// A shutdown waits for it: poll it to its end, or drop it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the client is not let in; the stream is then dropped.
    ///
    /// # Cancel safety
    ///
    /// When dropped the client is deregistered and its stream cut.
    pub async fn serve_stream<S>(&self, stream: S, handshake: Handshake) -> Result<(), Refusal>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let admitted = self.admit(handshake, None).await?;
        admitted.attend(stream, Bytes::new()).await;
        Ok(())
    }

    /// Publishes to every subscriber of a topic.
    ///
    /// Where the topic has a history, the publication is stored first. Publications of one topic
    /// reach each of its subscribers in one order, that of the history.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was delivered.
    ///
    /// # Cancel safety
    ///
    /// Dropped while the history stores it, the publication may be stored and not delivered: the
    /// next one finds the gap and delivers both.
    pub async fn publish(&self, topic: &str, data: Payload) -> Result<Published, PublishError> {
        let run = self.run();
        let shared = &self.inner.shared;
        shared.publish(run.as_ref(), topic, data).await
    }

    /// Delivers a publication that the application has stored in a durable history.
    ///
    /// Delivery goes by offset: what a subscriber has already is dropped, and what is missing
    /// before it is read from the history and delivered first. So calls may repeat, be late or
    /// come in any order. It does not wait, and is done as a whole.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was delivered.
    pub fn publish_at(
        &self,
        topic: &str,
        publication: Publication,
        epoch: &str,
    ) -> Result<Published, PublishError> {
        let run = self.run();
        let shared = &self.inner.shared;
        shared.publish_at(run.as_ref(), topic, publication, epoch)
    }

    /// Disconnects a user's connections, or one connection; returns how many.
    ///
    /// What waits for them is written first. They are gone a moment later, not at once.
    pub fn disconnect<'a>(&self, target: impl Into<Target<'a>>, why: Disconnect) -> usize {
        let connections = self.connections(target.into()).into_iter();
        connections
            .filter(|connection| connection.outbox.close(why.clone()))
            .count()
    }

    /// Ends the subscriptions of a user, or of one connection, to a topic; returns how many.
    ///
    /// No later publication reaches them. The clients are told (code 2000), and may subscribe
    /// again if the authorizer lets them.
    pub fn unsubscribe<'a>(&self, target: impl Into<Target<'a>>, topic: &str) -> usize {
        let connections = self.connections(target.into()).into_iter();
        connections
            .filter(|connection| self.inner.shared.unsubscribe(connection, topic))
            .count()
    }

    /// Up to `limit` registered clients after `after`, for paging through all of them.
    ///
    /// A client that stays registered while the pages are read is in exactly one.
    #[must_use]
    pub fn clients(&self, after: Option<ConnectionId>, limit: usize) -> ClientPage {
        let connections = self.inner.shared.registry.page(after, limit);
        let last = connections.last().map(|connection| connection.id);
        ClientPage {
            next: last.filter(|_| connections.len() == limit),
            clients: connections.iter().map(|c| c.info()).collect(),
        }
    }

    /// A snapshot of figures.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let shared = &self.inner.shared;
        let (registry, counters) = (&shared.registry, &shared.counters);
        HubStats {
            sockets: shared.places.taken(),
            connections: registry.connection_count(),
            users: registry.user_count(),
            topics: registry.topic_count(),
            subscriptions: registry.subscription_count(),
            opened: counters.opened.load(Ordering::Relaxed),
            delivered: counters.delivered.load(Ordering::Relaxed),
            evicted_slow: counters.evicted_slow.load(Ordering::Relaxed),
            evicted_silent: counters.evicted_silent.load(Ordering::Relaxed),
            repaired: counters.repaired.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn run(&self) -> Option<Arc<Run>> {
        match &*lock(&self.inner.phase) {
            Phase::Running(run) => Some(run.clone()),
            Phase::Idle | Phase::Stopping(_) => None,
        }
    }

    fn connections(&self, target: Target<'_>) -> Vec<Arc<Connection>> {
        let registry = &self.inner.shared.registry;
        match target {
            Target::User(user) => registry.connections_of(user),
            Target::Connection(id) => registry.connection(id).into_iter().collect(),
        }
    }
}
