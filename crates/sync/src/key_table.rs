use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use crate::{
    rt::{self, Mutex, MutexGuard},
    slab::Slab,
};

/// Keys for which a table has room from the first on, and at least which an emptied one keeps
/// room for. In a smaller index a removed key leaves a tombstone, to be cleaned up all the time.
const KEPT_KEYS: usize = 112;

/// A hash table over keys, whose entries have a stable index.
///
/// Lives under a shard's mutex, and so runs no user code but the key's `Eq`: hashes are computed
/// before and stored, a known index needs neither, and removed keys are the caller's to drop.
#[derive(Debug)]
pub(crate) struct KeyTable<K, V> {
    index: HashTable<usize>,
    entries: Slab<Entry<K, V>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    hash: u64,
    key: Key<K>,
    value: V,
}

/// A key is shared only once somebody lists the keys, so that ordinary use allocates nothing.
#[derive(Debug)]
pub(crate) enum Key<K> {
    Owned(K),
    Shared(Arc<K>),
    /// On its way from one of these places to another.
    Moved,
}

impl<K> Key<K> {
    fn get(&self) -> Option<&K> {
        match self {
            Key::Owned(key) => Some(key),
            Key::Shared(key) => Some(key),
            Key::Moved => None,
        }
    }

    fn share(&mut self) -> Option<Arc<K>> {
        let shared = match std::mem::replace(self, Key::Moved) {
            Key::Owned(key) => Arc::new(key),
            Key::Shared(key) => key,
            Key::Moved => return None,
        };
        *self = Key::Shared(Arc::clone(&shared));
        Some(shared)
    }
}

impl<K, V> KeyTable<K, V> {
    pub(crate) const fn new() -> Self {
        Self {
            index: HashTable::new(),
            entries: Slab::new(),
        }
    }

    pub(crate) fn find(&self, hash: u64, key: &K) -> Option<usize>
    where
        K: Eq,
    {
        let is_match = |&index: &usize| {
            let entry = self.entries.get(index);
            entry.is_some_and(|entry| entry.hash == hash && entry.key.get() == Some(key))
        };
        self.index.find(hash, is_match).copied()
    }

    /// Adds a key that [`find`](Self::find) did not find under this lock.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V) -> usize {
        let index = self.entries.insert(Entry {
            hash,
            key: Key::Owned(key),
            value,
        });
        let entries = &self.entries;
        let hash_of = |&index: &usize| entries.get(index).map_or(0, |entry| entry.hash);
        if self.index.capacity() == 0 {
            self.index.reserve(KEPT_KEYS, hash_of);
        }
        self.index.insert_unique(hash, index, hash_of);
        index
    }

    /// Removes an entry; drop its key after the mutex is released.
    #[inline]
    pub(crate) fn remove(&mut self, index: usize) -> Option<Key<K>> {
        let take =
            |entry: &mut Entry<K, V>| (entry.hash, std::mem::replace(&mut entry.key, Key::Moved));
        let (hash, key) = self.entries.remove_part(index, take)?;
        if let Ok(occupied) = self.index.find_entry(hash, |&other| other == index) {
            occupied.remove();
        }
        if self.index.is_empty() && self.index.capacity() > 4 * KEPT_KEYS {
            self.index = HashTable::new();
        }
        Some(key)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&V> {
        self.entries.get(index).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut V> {
        self.entries.get_mut(index).map(|entry| &mut entry.value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// One past the highest index in use.
    pub(crate) fn slots(&self) -> usize {
        self.entries.slots()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut V)> {
        let entries = self.entries.iter_mut();
        entries.map(|(index, entry)| (index, &mut entry.value))
    }

    /// One key, to be looked at after the mutex is released.
    pub(crate) fn share_key(&mut self, index: usize) -> Option<Arc<K>> {
        self.entries.get_mut(index)?.key.share()
    }

    /// All keys, to be cloned after the mutex is released.
    pub(crate) fn share_keys(&mut self) -> Vec<Arc<K>> {
        let entries = self.entries.iter_mut();
        entries.filter_map(|(_, entry)| entry.key.share()).collect()
    }
}

/// Independent parts of a keyed primitive, so that different keys rarely meet on one mutex.
#[derive(Debug)]
pub(crate) struct Shards<S> {
    shards: Box<[Aligned<Mutex<S>>]>,
    hasher: RandomState,
}

/// Keeps neighbouring shards off each other's cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<S> Shards<S> {
    pub(crate) fn new(make: impl Fn() -> S) -> Self {
        Self {
            shards: (0..rt::shards())
                .map(|_| Aligned(Mutex::new(make())))
                .collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn hash<K: Hash>(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The shard of a hash. It takes bits that the table within the shard does not look at first.
    pub(crate) fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    /// Locks one shard. A key's `Eq` that panicked left the shard as it was: there is no poison.
    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, S> {
        rt::lock(&self.shards[index & (self.shards.len() - 1)].0)
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Locks the shards one after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, S>> {
        (0..self.len()).map(|index| self.lock(index))
    }
}
