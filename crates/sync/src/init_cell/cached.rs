use std::{fmt, sync::Arc};

use super::InitCell;
use crate::rt::atomic::Ordering;

/// A reader of an [`InitCell`] that remembers the value: while the cell stays ready, a look costs
/// one atomic load.
///
/// It keeps the value alive until it is dropped, or looks again after the cell was reset.
pub struct Cached<'a, T, E> {
    cell: &'a InitCell<T, E>,
    generation: u64,
    value: Option<Arc<T>>,
}

impl<'a, T, E> Cached<'a, T, E> {
    pub(super) fn new(cell: &'a InitCell<T, E>) -> Self {
        Self {
            cell,
            generation: 0,
            value: None,
        }
    }

    /// The value, if the cell is ready.
    pub fn get(&mut self) -> Option<&Arc<T>> {
        if self.cell.ready.load(Ordering::Acquire) != self.generation {
            (self.generation, self.value) = match self.cell.get_with_generation() {
                Some((generation, value)) => (generation, Some(value)),
                None => (0, None),
            };
        }
        self.value.as_ref()
    }
}

impl<T, E> Clone for Cached<'_, T, E> {
    fn clone(&self) -> Self {
        Self {
            cell: self.cell,
            generation: self.generation,
            value: self.value.clone(),
        }
    }
}

impl<T, E> fmt::Debug for Cached<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
