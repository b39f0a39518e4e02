use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tracing::{debug, warn};

use crate::{
    Publication,
    delivery::live,
    run::Run,
    shared::{Shared, within},
    subscription::{Live, Place},
    topic::{Delivery, Topic},
};

/// Reads of one repair that may fail or bring nothing new.
const REPAIR_ATTEMPTS: u32 = 3;
/// Between two of them.
const REPAIR_PAUSE: Duration = Duration::from_millis(100);

impl Shared {
    /// Starts the repair of a topic, of which there is one at a time.
    pub(crate) fn start_repair(self: &Arc<Self>, run: Option<&Arc<Run>>, name: &str) {
        let Some(topic) = self.registry.topic(name) else {
            return;
        };
        match run {
            Some(run) => {
                let shared = self.clone();
                let drain = run.drain.clone();
                run.tasks.spawn(async move {
                    drain.run_until_cancelled(shared.repair(topic)).await;
                });
            }
            None => {
                let delivery = topic.give_up();
                self.finish(None, name, delivery);
            }
        }
    }

    /// Fills the gaps of a topic's subscriptions from history.
    ///
    /// A subscription that history cannot help is ended in a way that makes the client come back
    /// and recover: there is no silent hole.
    async fn repair(self: Arc<Self>, topic: Arc<Topic>) {
        let mut fruitless = 0;
        let mut last = None;
        while let Some(missing) = topic.missing_from() {
            if last.as_ref() == Some(&missing) {
                fruitless += 1;
                tokio::time::sleep(REPAIR_PAUSE).await;
            }
            if fruitless >= REPAIR_ATTEMPTS {
                warn!(
                    topic = &*topic.name,
                    "gap not repaired, subscribers must recover"
                );
                let delivery = topic.give_up();
                self.finish(None, &topic.name, delivery);
                return;
            }
            if let Some(delivery) = self.repair_once(&topic, missing.offset).await {
                self.counters.repaired.fetch_add(1, Ordering::Relaxed);
                self.finish(None, &topic.name, delivery);
            }
            last = Some(missing);
        }
        debug!(topic = &*topic.name, "gap repaired");
    }

    async fn repair_once(&self, topic: &Topic, after: u64) -> Option<Delivery> {
        let history = self.history_of(&topic.name)?;
        let limit = self.limits.recovery_messages;
        let read = history.read(&topic.name, Some(after), limit);
        let page = match within(self.limits.command_timeout, "read history", read).await {
            Ok(page) => page,
            Err(error) => {
                warn!(topic = &*topic.name, %error, "history not read");
                return None;
            }
        };
        if page.publications.is_empty() && page.top.offset <= after {
            return None;
        }
        let epoch: Arc<str> = page.top.epoch.into();
        let missing: Vec<Live> = page
            .publications
            .iter()
            .map(|Publication { offset, data }| {
                let (offset, epoch) = (*offset, epoch.clone());
                live(&topic.name, Some(Place { offset, epoch }), data)
            })
            .collect();
        Some(topic.repair(&missing, &epoch, &self.limits))
    }
}
