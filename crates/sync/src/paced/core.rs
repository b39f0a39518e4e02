use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
    time::Duration,
};

use steadfast_clock::{Clock, Instant};
use tracing::warn;

use super::{
    PacedSnapshot,
    fold::{Fold, InHand},
    state::State,
    window::{Called, Pace},
};
use crate::{
    PaceError, PrimitiveState, Snapshot,
    key_table::Key,
    meters::Meters,
    registry::Inspect,
    rt::{self, Mutex, MutexGuard},
};

/// How many timers each call looks at, to forget windows that have ended while nobody drives.
const LOOKS: usize = 2;

/// How many keys are dealt with at a time where all are.
const CHUNK: usize = 256;

/// What [`Paced`](super::Paced), [`KeyedPaced`](super::KeyedPaced), their drivers and the registry
/// share: calls go into the windows of their keys, and one driver runs what comes out. One without
/// keys has the key `()`.
pub struct Core<K, T> {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    pub(super) fold: Option<Fold<T>>,
    pub(super) max_keys: usize,
    pub(super) long_hold: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
    hasher: RandomState,
    state: Mutex<State<K, T>>,
}

/// What it is called in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Debounce,
    Throttle,
    KeyedDebounce,
    KeyedThrottle,
}

/// All but the state of a [`Core`].
pub(super) struct Settings<T> {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    pub(super) fold: Option<Fold<T>>,
    pub(super) max_keys: usize,
    pub(super) max_concurrency: usize,
    pub(super) long_hold: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// What comes out under the mutex and is dropped after it is released.
type Removed<K, T> = (Option<T>, Option<T>, Option<Key<K>>);

impl<K, T> Core<K, T> {
    pub(super) fn new(settings: Settings<T>) -> Self {
        Self {
            meters: Meters::new(settings.kind.name(), &settings.name),
            name: settings.name,
            kind: settings.kind,
            pace: settings.pace,
            fold: settings.fold,
            max_keys: settings.max_keys,
            long_hold: settings.long_hold,
            clock: settings.clock,
            hasher: RandomState::new(),
            state: Mutex::new(State::new(settings.pace, settings.max_concurrency)),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<K, T>> {
        rt::lock(&self.state)
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Makes everything that is held due.
    pub(super) fn flush_all(&self) {
        self.change_all(flush);
    }

    /// Drops everything that is pending, and all windows.
    pub(super) fn cancel_all(&self) {
        self.change_all(cancel);
    }

    /// Changes every key, some at a time.
    fn change_all(&self, change: impl Fn(&mut State<K, T>, usize) -> Removed<K, T>) {
        let (mut next, mut slots) = (0, usize::MAX);
        while next < slots {
            let now = self.now();
            let mut state = self.state();
            slots = slots.min(state.keys.slots());
            let end = slots.min(next + CHUNK);
            let removed: Vec<_> = (next..end).map(|index| change(&mut state, index)).collect();
            let wakes = state.wakes(now);
            drop(state);
            next = end;
            wakes.wake();
            drop(removed);
        }
    }

    pub(super) fn snapshot(&self) -> PacedSnapshot {
        let now = self.now();
        let mut state = self.state();
        let longest = state.runs.iter_mut().map(|(_, run)| run.since).min();
        let (mut since, mut due) = (None, None);
        if !self.kind.is_keyed()
            && let Some(entry) = state.keys.values_mut().next()
        {
            since = entry.window.pending_since();
            due = since.and(entry.window.next(&self.pace));
        }
        PacedSnapshot {
            keys: state.keys.len(),
            pending: state.pending,
            held_for: since.map(|since| now.saturating_duration_since(since)),
            due_in: due.map(|due| due.saturating_duration_since(now)),
            running: state.runs.len(),
            running_for: longest.map(|since| now.saturating_duration_since(since)),
            runs: state.runs_total,
            panics: state.panics_total,
            is_driven: state.is_driven,
            is_closed: state.is_closed,
        }
    }

    /// Reports runs that take too long and a call that is due and not run, each of them once.
    fn report(&self) {
        let now = self.now();
        let mut long = Vec::new();
        let mut state = self.state();
        for (_, run) in state.runs.iter_mut() {
            let running = now.saturating_duration_since(run.since);
            if !run.is_reported && running >= self.long_hold {
                run.is_reported = true;
                long.push(running);
            }
        }
        let due = state.due_since(now);
        let late = due.map(|due| now.saturating_duration_since(due));
        let late = late.filter(|&late| late >= self.long_hold && !state.is_stall_reported);
        state.is_stall_reported |= late.is_some();
        let is_driven = state.is_driven;
        drop(state);
        for running in long {
            warn!(name = self.name, ?running, "run takes long");
        }
        if let Some(late) = late {
            warn!(
                name = self.name,
                ?late,
                is_driven,
                "a call is due and not run"
            );
        }
    }

    /// Forgets windows that have ended.
    fn sweep(&self) {
        let now = self.now();
        loop {
            let mut forgotten = Vec::new();
            let is_over = self.state().sweep(now, CHUNK, &mut forgotten);
            if is_over {
                return;
            }
        }
    }
}

impl<K: Eq + Hash, T> Core<K, T> {
    pub(super) fn call(&self, key: K, value: T) -> Result<(), PaceError> {
        let hash = self.hasher.hash_one(&key);
        let now = self.now();
        // Declared first, so that a key's `Eq` that panics has it dropped after the mutex.
        let mut forgotten = Vec::new();
        let mut state = self.state();
        if state.is_closed {
            drop(state);
            return Err(PaceError::Closed);
        }
        state.sweep(now, LOOKS, &mut forgotten);
        let (index, _unused) = match state.keys.find(hash, &key) {
            Some(index) => (index, Some(key)),
            None if state.keys.len() >= self.max_keys => {
                let max_keys = self.max_keys;
                drop(state);
                return Err(PaceError::TooManyKeys { max_keys });
            }
            None => (state.insert(hash, key), None),
        };
        let mut called = Called::Kept;
        let mut epoch = 0;
        if let Some(entry) = state.keys.get_mut(index) {
            called = (entry.window).call(&self.pace, now, value, self.fold.is_some());
            epoch = entry.epoch;
        }
        state.settle(index);
        let wakes = state.wakes(now);
        drop(state);
        if let Called::Fold(held, new) = called {
            let in_hand = InHand::new(self, index, epoch);
            wakes.wake();
            in_hand.fold(held, new);
        } else {
            wakes.wake();
        }
        Ok(())
    }

    pub(super) fn cancel(&self, key: &K) {
        self.change(key, cancel);
    }

    pub(super) fn flush(&self, key: &K) {
        self.change(key, flush);
    }

    pub(super) fn is_pending(&self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        let state = self.state();
        let entry = state.keys.find(hash, key);
        let entry = entry.and_then(|index| state.keys.get(index));
        entry.is_some_and(|entry| entry.window.is_pending())
    }

    fn change(&self, key: &K, change: impl Fn(&mut State<K, T>, usize) -> Removed<K, T>) {
        let hash = self.hasher.hash_one(key);
        let now = self.now();
        let mut state = self.state();
        if let Some(index) = state.keys.find(hash, key) {
            let removed = change(&mut state, index);
            let wakes = state.wakes(now);
            drop(state);
            wakes.wake();
            drop(removed);
        }
    }
}

/// Drops what is pending of a key, and its window.
fn cancel<K, T>(state: &mut State<K, T>, index: usize) -> Removed<K, T> {
    let epoch = state.new_epoch();
    let Some(entry) = state.keys.get_mut(index) else {
        return (None, None, None);
    };
    entry.epoch = epoch;
    let (leading, held) = entry.window.cancel();
    (leading, held, state.settle(index))
}

/// Makes due what is held of a key.
fn flush<K, T>(state: &mut State<K, T>, index: usize) -> Removed<K, T> {
    if let Some(entry) = state.keys.get_mut(index) {
        entry.window.flush();
    }
    (None, None, state.settle(index))
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Debounce => "debounce",
            Kind::Throttle => "throttle",
            Kind::KeyedDebounce => "keyed_debounce",
            Kind::KeyedThrottle => "keyed_throttle",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Kind::Debounce => "Debounce",
            Kind::Throttle => "Throttle",
            Kind::KeyedDebounce => "KeyedDebounce",
            Kind::KeyedThrottle => "KeyedThrottle",
        }
    }

    fn is_keyed(self) -> bool {
        matches!(self, Kind::KeyedDebounce | Kind::KeyedThrottle)
    }
}

impl<K: Send + Sync, T: Send> Inspect for Core<K, T> {
    fn inspect(&self) -> Snapshot {
        let snapshot = self.snapshot();
        Snapshot {
            name: self.name.clone(),
            state: match self.kind {
                Kind::Debounce => PrimitiveState::Debounce(snapshot),
                Kind::Throttle => PrimitiveState::Throttle(snapshot),
                Kind::KeyedDebounce => PrimitiveState::KeyedDebounce(snapshot),
                Kind::KeyedThrottle => PrimitiveState::KeyedThrottle(snapshot),
            },
        }
    }

    fn look(&self) {
        self.sweep();
        self.report();
    }
}

impl<K, T> fmt::Debug for Core<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct(self.kind.type_name())
            .field("name", &self.name)
            .field("keys", &state.keys.len())
            .field("pending", &state.pending)
            .field("running", &state.runs.len())
            .field("is_driven", &state.is_driven)
            .field("is_closed", &state.is_closed)
            .field("closing", &state.closing())
            .finish_non_exhaustive()
    }
}
