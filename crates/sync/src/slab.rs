/// Slots that an emptied slab keeps for the next burst; a larger one gives its memory back.
const KEPT_SLOTS: usize = 256;

/// The end of the free list.
const NIL: usize = usize::MAX;

/// Values under stable small indices: insert and remove are O(1) and reuse memory.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: usize,
    len: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    Free { next: usize },
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> usize {
        self.len += 1;
        match self.slots.get_mut(self.free) {
            Some(slot) => {
                let index = self.free;
                if let Slot::Free { next } = *slot {
                    self.free = next;
                }
                *slot = Slot::Full(value);
                index
            }
            None => {
                self.slots.push(Slot::Full(value));
                self.slots.len() - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        let slot = self.slots.get_mut(index)?;
        if matches!(slot, Slot::Free { .. }) {
            return None;
        }
        let Slot::Full(value) = std::mem::replace(slot, Slot::Free { next: self.free }) else {
            return None;
        };
        self.freed(index);
        Some(value)
    }

    /// Removes a value but moves only a part of it out; the rest is dropped where it is.
    #[inline]
    pub(crate) fn remove_part<R>(
        &mut self,
        index: usize,
        part: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let slot = self.slots.get_mut(index)?;
        let Slot::Full(value) = slot else {
            return None;
        };
        let part = part(value);
        *slot = Slot::Free { next: self.free };
        self.freed(index);
        Some(part)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.slots.get(index) {
            Some(Slot::Full(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self.slots.get_mut(index) {
            Some(Slot::Full(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One past the highest index that was ever in use since the slab was last empty.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(index, slot)| match slot {
            Slot::Full(value) => Some((index, value)),
            Slot::Free { .. } => None,
        })
    }

    #[inline]
    fn freed(&mut self, index: usize) {
        self.free = index;
        self.len -= 1;
        if self.len == 0 && self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
            self.free = NIL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_index_is_reused_and_a_second_removal_finds_nothing() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!((slab.remove(a), slab.remove(a)), (Some("a"), None));
        assert_eq!(slab.insert("c"), a);
        assert_eq!((slab.get(a), slab.get(b)), (Some(&"c"), Some(&"b")));
        assert_eq!(slab.len(), 2);
    }

    #[test]
    fn emptied_large_slab_gives_its_memory_back() {
        let mut slab = Slab::new();
        let indices: Vec<_> = (0..10_000).map(|value| slab.insert(value)).collect();
        for index in indices {
            slab.remove(index);
        }
        assert_eq!((slab.len(), slab.slots()), (0, 0));
        assert_eq!(slab.insert(7), 0);
    }
}
