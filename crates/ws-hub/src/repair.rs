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

/// The repair of one topic, of which there is one at a time.
///
/// It fills the gaps of the topic's subscriptions from history. However it ends, no subscription
/// is left waiting for it: one that it did not help is ended in a way that makes the client come
/// back and recover, so that there is no silent hole.
struct Repair {
    shared: Arc<Shared>,
    topic: Arc<Topic>,
    done: bool,
}

impl Shared {
    /// Starts the repair of a topic in which a gap was found.
    pub(crate) fn start_repair(self: &Arc<Self>, run: Option<&Arc<Run>>, name: &str) {
        let Some(topic) = self.registry.topic(name) else {
            return;
        };
        let mut repair = Repair {
            shared: self.clone(),
            topic,
            done: false,
        };
        // Without a run to work in it is dropped here, and so gives up.
        if let Some(run) = run {
            let drain = run.drain.clone();
            run.tasks.spawn(async move {
                drain.run_until_cancelled(repair.run()).await;
            });
        }
    }
}

impl Repair {
    async fn run(&mut self) {
        let mut fruitless = 0;
        let mut last = None;
        while let Some(missing) = self.topic.missing_from() {
            if last.as_ref() == Some(&missing) {
                fruitless += 1;
                tokio::time::sleep(REPAIR_PAUSE).await;
            }
            if fruitless >= REPAIR_ATTEMPTS {
                return;
            }
            if let Some(delivery) = self.fill(missing.offset).await {
                let repaired = &self.shared.counters.repaired;
                repaired.fetch_add(1, Ordering::Relaxed);
                self.shared.finish(None, &self.topic.name, delivery);
            }
            last = Some(missing);
        }
        self.done = true;
        debug!(topic = &*self.topic.name, "gap repaired");
    }

    /// Reads one page of history and hands it out; `None` if it brought nothing.
    async fn fill(&self, after: u64) -> Option<Delivery> {
        let (shared, name) = (&self.shared, &self.topic.name);
        let limits = &shared.limits;
        let history = shared.history_of(name)?;
        let read = history.read(name, Some(after), limits.recovery_messages);
        let page = match within(limits.command_timeout, "read history", read).await {
            Ok(page) => page,
            Err(error) => {
                warn!(topic = &**name, %error, "history not read");
                return None;
            }
        };
        if page.publications.is_empty() && page.top.offset <= after {
            return None;
        }
        let epoch: Arc<str> = page.top.epoch.into();
        let publications = page.publications.iter();
        let missing: Vec<Live> = publications
            .map(|Publication { offset, data }| {
                let (offset, epoch) = (*offset, epoch.clone());
                live(name, Some(Place { offset, epoch }), data)
            })
            .collect();
        Some(self.topic.repair(&missing, &epoch, limits))
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let name = &self.topic.name;
        warn!(
            topic = &**name,
            "gap not repaired, subscribers must recover"
        );
        let delivery = self.topic.give_up();
        self.shared.finish(None, name, delivery);
    }
}
