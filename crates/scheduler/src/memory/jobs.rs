//! The jobs of a namespace: a slab, an index by key and a heap by time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::{HashTable, hash_table};
use jiff::Timestamp;

use super::entry::Entry;
use crate::{Job, JobKey, JobState, Policy};

/// The heap is rebuilt when outdated entries outnumber the others, but not below this size.
const SMALL_HEAP: usize = 64;

/// Policies kept although no job has them: at most this many, or as many as are in use.
const IDLE_POLICIES: usize = 64;

/// Where a job is in the slab.
pub(super) type Slot = u32;

#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Found by their slots; those of jobs that were removed are free.
    slab: Vec<Option<Entry>>,
    free: Vec<Slot>,
    by_key: HashTable<Slot>,
    hasher: RandomState,
    policies: Policies,
    /// When jobs are due, in milliseconds; outdated if the job in the slot does not bear the
    /// ticket.
    due: BinaryHeap<Reverse<(i64, u32, Slot)>>,
    last_ticket: u32,
}

impl Jobs {
    pub(super) fn find(&self, key: &JobKey) -> Option<Slot> {
        let found = self.by_key.find(self.hasher.hash_one(key), self.is(key));
        found.copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.slab.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slab.get_mut(slot as usize)?.as_mut()
    }

    /// Puts in a job whose key is not there.
    pub(super) fn insert(&mut self, job: &Job, state: JobState) -> Slot {
        let entry = Entry::new(job, self.policies.share(&job.policy), state);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            (self.slab.len() - 1) as Slot
        });
        self.slab[slot as usize] = Some(entry);
        let hash = self.hasher.hash_one(&job.key);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_key.insert_unique(hash, slot, |slot| {
            let entry = slab[*slot as usize].as_ref();
            entry.map_or(0, |entry| hasher.hash_one(entry.key()))
        });
        slot
    }

    /// Gives the job in a slot what another of the same key has.
    pub(super) fn replace(&mut self, slot: Slot, job: &Job, state: JobState) {
        let policy = self.policies.share(&job.policy);
        if let Some(entry) = self.get_mut(slot) {
            entry.replace(job, policy);
            entry.keep(state);
        }
    }

    pub(super) fn remove(&mut self, key: &JobKey) -> Option<Entry> {
        let hash = self.hasher.hash_one(key);
        let slab = &self.slab;
        let is_key = |slot: &Slot| has_key(slab, *slot, key);
        let Ok(found) = self.by_key.find_entry(hash, is_key) else {
            return None;
        };
        let (slot, _) = hash_table::OccupiedEntry::remove(found);
        self.free.push(slot);
        let entry = self.slab[slot as usize].take();
        self.compact();
        entry
    }

    /// Puts a job where its state says that it is due; returns that.
    pub(super) fn schedule(&mut self, slot: Slot) -> Option<Timestamp> {
        let entry = self.slab.get_mut(slot as usize)?.as_mut()?;
        let due = entry.state().due_at(&entry.job());
        entry.ticket = None;
        if let Some(due) = due {
            // A ticket comes back after 2^32 others. An outdated entry that is taken for another
            // does no harm: the job's state decides what fires.
            self.last_ticket = self.last_ticket.wrapping_add(1);
            entry.ticket = Some(self.last_ticket);
            let due = due.as_millisecond();
            self.due.push(Reverse((due, self.last_ticket, slot)));
        }
        self.compact();
        due
    }

    /// Takes out a job that is due by then, the earliest first.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Slot> {
        let due = self.next_due()?;
        if due > now {
            return None;
        }
        let Reverse((_, _, slot)) = self.due.pop()?;
        Some(slot)
    }

    pub(super) fn next_due(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((due, ticket, slot))) = self.due.peek() {
            let entry = self.slab[*slot as usize].as_ref();
            if entry.is_some_and(|entry| entry.ticket == Some(*ticket)) {
                return Timestamp::from_millisecond(*due).ok();
            }
            self.due.pop();
        }
        None
    }

    fn is(&self, key: &JobKey) -> impl Fn(&Slot) -> bool {
        move |slot| has_key(&self.slab, *slot, key)
    }

    fn compact(&mut self) {
        if self.due.len() > 2 * self.by_key.len() + SMALL_HEAP {
            let slab = &self.slab;
            self.due.retain(|Reverse((_, ticket, slot))| {
                let entry = slab[*slot as usize].as_ref();
                entry.is_some_and(|entry| entry.ticket == Some(*ticket))
            });
        }
    }
}

fn has_key(slab: &[Option<Entry>], slot: Slot, key: &JobKey) -> bool {
    let entry = slab[slot as usize].as_ref();
    entry.is_some_and(|entry| entry.key() == key)
}

/// Equal policies share their memory.
#[derive(Debug, Default)]
struct Policies {
    all: HashSet<Arc<Policy>>,
    /// The one asked for last: most often the next is the same.
    last: Option<Arc<Policy>>,
    /// The size beyond which unused policies are dropped.
    limit: usize,
}

impl Policies {
    fn share(&mut self, policy: &Policy) -> Arc<Policy> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == *policy) {
            return last.clone();
        }
        if self.all.len() >= self.limit {
            self.all.retain(|policy| Arc::strong_count(policy) > 1);
            self.limit = (2 * self.all.len()).max(IDLE_POLICIES);
        }
        let known = self.all.get(policy).cloned();
        let shared = known.unwrap_or_else(|| {
            let new = Arc::new(policy.clone());
            self.all.insert(new.clone());
            new
        });
        self.last = Some(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn policies_are_shared_and_unused_ones_dropped() {
        let mut policies = Policies::default();
        let policy = |millis| Policy {
            jitter: Duration::from_millis(millis),
            ..Policy::default()
        };
        let kept = policies.share(&policy(1));
        for millis in 2..10_000 {
            policies.share(&policy(millis));
            assert!(policies.all.len() <= 2 * IDLE_POLICIES);
        }
        assert!(Arc::ptr_eq(&kept, &policies.share(&policy(1))));
    }
}
