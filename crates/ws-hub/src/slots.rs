use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::{ConnectionId, connection::Connection, lock::lock};

const SHARDS: usize = 16;

/// Connections by id: a slab in shards, whose slots are used again with a new generation.
///
/// Look-up and removal compare the generation, so that an id of the past finds nothing.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    shards: [Mutex<Shard>; SHARDS],
    turn: AtomicUsize,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Arc<Connection>>,
}

impl Slots {
    pub(crate) fn insert(&self, new: impl FnOnce(ConnectionId) -> Connection) -> Arc<Connection> {
        let shard = self.turn.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut slots = lock(&self.shards[shard]);
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot::default());
            slots.slots.len() - 1
        });
        let slot = &mut slots.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        let connection = Arc::new(new(ConnectionId {
            // Within u32: the builder bounds the number of connections.
            slot: (index * SHARDS + shard) as u32,
            generation: slot.generation,
        }));
        slot.connection = Some(connection.clone());
        self.len.fetch_add(1, Ordering::Relaxed);
        connection
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        let (shard, index) = place(id.slot);
        let slots = lock(&self.shards[shard]);
        let slot = slots.slots.get(index)?;
        (slot.generation == id.generation)
            .then(|| slot.connection.clone())
            .flatten()
    }

    /// Removes the connection with exactly this id.
    pub(crate) fn remove(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        let (shard, index) = place(id.slot);
        let mut slots = lock(&self.shards[shard]);
        let slot = slots.slots.get_mut(index)?;
        if slot.generation != id.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slots.free.push(index);
        self.len.fetch_sub(1, Ordering::Relaxed);
        Some(connection)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Connection>> {
        let start = after.map_or(0, |id| id.slot as usize + 1);
        let rows = self.shards.iter().map(|shard| lock(shard).slots.len());
        let end = rows.max().unwrap_or(0) * SHARDS;
        (start..end)
            .filter_map(|slot| {
                let slots = lock(&self.shards[slot % SHARDS]);
                slots.slots.get(slot / SHARDS)?.connection.clone()
            })
            .take(limit)
            .collect()
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize % SHARDS, slot as usize / SHARDS)
}
