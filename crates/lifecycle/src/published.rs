use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{Snapshot, snapshot::Draft};

/// The latest snapshot: whoever reads it takes no lock and holds up nobody.
///
/// Of the two latest snapshots one is public and the other is the next to be written over, once it
/// has caught up with the few entries that differ; so a change costs the same however many services
/// there are. Only where a reader keeps the older one is it left to him, and another one made with
/// the same entries.
#[derive(Debug)]
pub(crate) struct Published {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<Arc<Snapshot>>,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    /// The snapshot before the current one.
    spare: Option<Arc<Snapshot>>,
    /// Which entries of the two differ.
    changed: Vec<usize>,
}

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        Self {
            current: ArcSwap::new(Arc::clone(&snapshot)),
            changes: watch::Sender::new(snapshot),
            writer: Mutex::default(),
        }
    }

    pub(crate) fn read(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.changes.subscribe()
    }

    /// Changes the snapshot; returns what `change` returns.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> R) -> R {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = mem::take(&mut writer.changed);
        let mut next = self.next(writer.spare.take(), &changed);
        changed.clear();
        // Nobody else has it yet.
        let mut draft = Draft::new(Arc::make_mut(&mut next), &mut changed);
        let result = change(&mut draft);
        draft.finish();
        writer.changed = changed;
        writer.spare = Some(self.current.swap(Arc::clone(&next)));
        // After the swap: who is woken by it reads at least this one.
        self.changes.send_replace(next);
        result
    }

    /// A snapshot like the current one, to be changed.
    fn next(&self, spare: Option<Arc<Snapshot>>, changed: &[usize]) -> Arc<Snapshot> {
        let current = self.current.load();
        let mut spare = spare.unwrap_or_else(|| Arc::clone(&current));
        match Arc::get_mut(&mut spare) {
            Some(older) => {
                older.catch_up(&current, changed);
                spare
            }
            None => Arc::new(Snapshot::clone(&current)),
        }
    }

    /// All services are others.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *writer = Writer::default();
        let snapshot = Arc::new(snapshot);
        self.current.store(Arc::clone(&snapshot));
        self.changes.send_replace(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::SystemTime};

    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{ServiceSnapshot, ServiceState, Status, snapshot::Phase};

    fn services(count: usize) -> Snapshot {
        Snapshot::stopped((0..count).map(|index| ServiceSnapshot {
            name: index.to_string().into(),
            required: index % 2 == 0,
            state: ServiceState::Stopped,
            since: SystemTime::UNIX_EPOCH,
            detail: None,
            failures: 0,
            last_error: None,
            restarts: 0,
        }))
    }

    proptest! {
        /// Whoever keeps which snapshot, each is what it was when it was public.
        #[test]
        fn snapshots_are_those_of_a_plain_copy(
            changes in vec((0..5_usize, 0..4_u32, any::<bool>(), select(&[
                Phase::Stopped, Phase::Starting, Phase::Running, Phase::Stopping,
            ][..])), 0..60),
        ) {
            let published = Published::new(services(5));
            let mut plain = services(5);
            let mut kept = Vec::new();
            for (index, failures, keep, phase) in changes {
                published.update(|draft| {
                    draft.change(index, |service| service.failures = failures);
                    draft.phase(phase);
                });
                let mut draft_changed = Vec::new();
                let mut draft = Draft::new(&mut plain, &mut draft_changed);
                draft.change(index, |service| service.failures = failures);
                draft.phase(phase);
                draft.finish();
                let read = published.read();
                prop_assert_eq!(&*read, &plain);
                prop_assert!(Arc::ptr_eq(&read, &published.subscribe().borrow()));
                if keep {
                    kept.push((read, plain.clone()));
                }
            }
            for (kept, plain) in kept {
                prop_assert_eq!(&*kept, &plain);
            }
        }
    }

    #[test]
    fn two_snapshots_take_turns_while_nobody_keeps_them() {
        let published = Published::new(services(1_000));
        let mut seen = Vec::new();
        for failures in 0..10 {
            published.update(|draft| draft.change(7, |service| service.failures = failures));
            seen.push(Arc::as_ptr(&published.read()));
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() <= 3, "{} were made", seen.len());
    }

    #[test]
    fn reader_on_another_thread_never_sees_half_of_a_change() {
        let published = Arc::new(Published::new(services(50)));
        let reader = {
            let published = Arc::clone(&published);
            thread::spawn(move || {
                let mut last = 0;
                while last < 2_000 {
                    let now = published.read();
                    let first = now.services[0].failures;
                    assert!(first >= last, "went back from {last} to {first}");
                    assert!(now.services.iter().all(|service| service.failures == first));
                    assert_eq!(now.status == Status::Draining, first % 2 == 1);
                    last = first;
                }
            })
        };
        for failures in 1..=2_000 {
            published.update(|draft| {
                draft.phase(Phase::Running);
                draft.draining(failures % 2 == 1);
                for index in 0..50 {
                    draft.change(index, |service| service.failures = failures);
                }
            });
        }
        reader.join().unwrap();
    }
}
