use std::sync::Arc;

use super::core::Core;

pub(super) type Fold<T> = Arc<dyn Fn(T, T) -> T + Send + Sync>;

/// Values that a caller has taken out to fold them, while nothing is locked. Dropped by a fold
/// that panics, it tells that they are lost.
pub(super) struct InHand<'a, K, T> {
    core: &'a Core<K, T>,
    entry: usize,
    epoch: u64,
    is_over: bool,
}

impl<'a, K, T> InHand<'a, K, T> {
    pub(super) fn new(core: &'a Core<K, T>, entry: usize, epoch: u64) -> Self {
        Self {
            core,
            entry,
            epoch,
            is_over: false,
        }
    }

    /// Folds and puts back, until nothing was held meanwhile. Each turn leaves one value less, so
    /// that concurrent callers do no more turns together than there are calls.
    pub(super) fn fold(mut self, held: T, new: T) {
        let Some(fold) = &self.core.fold else {
            return;
        };
        let mut pair = Some((held, new));
        while let Some((held, new)) = pair {
            pair = self.put_back(fold(held, new));
        }
    }

    fn put_back(&mut self, folded: T) -> Option<(T, T)> {
        let now = self.core.now();
        let mut state = self.core.state();
        let entry = state.keys.get_mut(self.entry);
        let Some(entry) = entry.filter(|entry| entry.epoch == self.epoch) else {
            // It was cancelled meanwhile.
            drop(state);
            self.is_over = true;
            drop(folded);
            return None;
        };
        let pair = entry.window.put_back(folded);
        if pair.is_some() {
            return pair;
        }
        self.is_over = true;
        state.settle(self.entry);
        let wakes = state.wakes(now);
        drop(state);
        wakes.wake();
        None
    }
}

impl<K, T> Drop for InHand<'_, K, T> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let now = self.core.now();
        let mut state = self.core.state();
        let entry = state.keys.get_mut(self.entry);
        if let Some(entry) = entry.filter(|entry| entry.epoch == self.epoch) {
            entry.window.lose();
            let forgotten = state.settle(self.entry);
            let wakes = state.wakes(now);
            drop(state);
            wakes.wake();
            drop(forgotten);
        }
    }
}
