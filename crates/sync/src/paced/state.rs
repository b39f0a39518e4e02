use std::{collections::BTreeSet, sync::Arc, task::Waker};

use steadfast_clock::Instant;

use super::window::{Pace, Window};
use crate::{
    key_table::{Key, KeyTable},
    slab::Slab,
    wait_queue::{Queue, Waiters, WakeList},
};

/// How much is done at a time while the mutex is held.
const BATCH: usize = 64;

/// What the mutex guards: the windows of all keys, in the order of their time.
#[derive(Debug)]
pub(super) struct State<K, T> {
    pace: Pace,
    max_concurrency: usize,
    pub(super) keys: KeyTable<K, Entry<T>>,
    /// The keys by the time at which to look at them, never after something of theirs is due.
    timers: BTreeSet<(Instant, usize)>,
    /// How many keys have something pending.
    pub(super) pending: usize,
    pub(super) runs: Slab<Run>,
    /// How many runs have begun so far.
    pub(super) runs_total: u64,
    pub(super) panics_total: u64,
    pub(super) is_closed: bool,
    pub(super) is_driven: bool,
    /// Whether it was reported that a call is due and not run, since the latest run.
    pub(super) is_stall_reported: bool,
    next_epoch: u64,
    driver: Option<Waker>,
    /// What time the driver waits for.
    alarm: Option<Instant>,
    closing: Queue,
    closers: Waiters<()>,
}

/// What is remembered of a key: exists while it has a window, something pending, or a run.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) window: Window<T>,
    pub(super) is_running: bool,
    /// Tells what a caller has in hand from what was cancelled meanwhile. Never the same twice.
    pub(super) epoch: u64,
    timer: Option<Instant>,
    is_counted: bool,
}

/// A run in progress.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) entry: usize,
    pub(super) since: Instant,
    pub(super) is_reported: bool,
}

/// What the driver does next.
pub(super) enum Step<K, T> {
    Run {
        run: usize,
        key: Arc<K>,
        value: T,
    },
    /// Nothing yet: others get their turn at the mutex.
    Again,
    /// Waits for a change, or until then.
    Wait(Option<Instant>),
    Stop,
}

/// What the first timer is about.
enum First<K> {
    /// Something of this key is due.
    Due(usize),
    /// Nothing before then.
    Later(Instant),
    Moved,
    Forgotten(Key<K>),
    Nothing,
}

/// What somebody who closes finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Drained,
    NotDriven,
    Busy,
}

impl<K, T> State<K, T> {
    pub(super) fn new(pace: Pace, max_concurrency: usize) -> Self {
        Self {
            pace,
            max_concurrency,
            keys: KeyTable::new(),
            timers: BTreeSet::new(),
            pending: 0,
            runs: Slab::new(),
            runs_total: 0,
            panics_total: 0,
            is_closed: false,
            is_driven: false,
            is_stall_reported: false,
            next_epoch: 0,
            driver: None,
            alarm: None,
            closing: Queue::new(),
            closers: Waiters::new(),
        }
    }

    /// Adds a key, which has to be [settled](Self::settle) before the mutex is released.
    pub(super) fn insert(&mut self, hash: u64, key: K) -> usize {
        let entry = Entry {
            window: Window::new(),
            is_running: false,
            epoch: self.new_epoch(),
            timer: None,
            is_counted: false,
        };
        self.keys.insert(hash, key, entry)
    }

    pub(super) fn new_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Brings timer and counters up to date after a change of an entry, and removes it if it is
    /// idle; the key is to be dropped once the mutex is released.
    pub(super) fn settle(&mut self, index: usize) -> Option<Key<K>> {
        let entry = self.keys.get_mut(index)?;
        let is_pending = entry.window.is_pending();
        let was_pending = std::mem::replace(&mut entry.is_counted, is_pending);
        self.pending = self.pending + usize::from(is_pending) - usize::from(was_pending);
        let (is_running, timer) = (entry.is_running, entry.timer);
        let next = entry.window.next(&self.pace).filter(|_| !is_running);
        let is_idle = entry.window.is_idle() && !is_running;
        // A timer that comes too early is set again when it has come: a call that moves its
        // window on costs nothing here.
        let is_in_time = match (timer, next) {
            (Some(timer), Some(next)) => timer <= next,
            (timer, next) => timer == next,
        };
        if !is_in_time {
            entry.timer = next;
            self.timers.extend(next.map(|next| (next, index)));
            if let Some(timer) = timer {
                self.timers.remove(&(timer, index));
            }
        }
        if is_idle {
            self.keys.remove(index)
        } else {
            None
        }
    }

    /// Whom to wake after a change: the driver if there is something to do that it does not
    /// expect, those who close if they wait for nothing any more.
    pub(super) fn wakes(&mut self, now: Instant) -> WakeList {
        let mut wakes = WakeList::default();
        let is_news = self.is_closed
            || self.timers.first().is_some_and(|&(first, _)| {
                first <= now || self.alarm.is_none_or(|alarm| first < alarm)
            });
        if is_news && self.runs.len() < self.max_concurrency {
            wakes.push(self.driver.take());
        }
        if !self.closing.is_empty() && self.standing() != Standing::Busy {
            let mut next = self.closing.front();
            while let Some(closer) = next {
                next = self.closers.next(closer);
                wakes.push(self.closers.take_waker(closer));
            }
        }
        wakes
    }

    /// Sets the waker of the driver's latest poll and returns what the caller has to drop. To be
    /// done before [`step`](Self::step).
    pub(super) fn set_driver(&mut self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut self.driver, waker)
    }

    /// What the driver does next. Forgotten keys are to be dropped once the mutex is released.
    pub(super) fn step(&mut self, now: Instant, forgotten: &mut Vec<Key<K>>) -> Step<K, T> {
        if self.runs.len() >= self.max_concurrency {
            return Step::Wait(None);
        }
        for _ in 0..BATCH {
            match self.first(now) {
                First::Due(index) => {
                    if let Some(step) = self.begin(index, now) {
                        return step;
                    }
                }
                First::Moved => {}
                First::Forgotten(key) => forgotten.push(key),
                First::Later(at) => {
                    self.alarm = Some(at);
                    return Step::Wait(Some(at));
                }
                First::Nothing => {
                    self.alarm = None;
                    let is_over = self.is_closed && self.standing() == Standing::Drained;
                    return if is_over {
                        Step::Stop
                    } else {
                        Step::Wait(None)
                    };
                }
            }
        }
        Step::Again
    }

    fn begin(&mut self, index: usize, now: Instant) -> Option<Step<K, T>> {
        let key = self.keys.share_key(index)?;
        let entry = self.keys.get_mut(index)?;
        let value = entry.window.take(&self.pace, now, self.is_closed)?;
        entry.is_running = true;
        let run = self.runs.insert(Run {
            entry: index,
            since: now,
            is_reported: false,
        });
        self.runs_total += 1;
        self.is_stall_reported = false;
        self.settle(index);
        Some(Step::Run { run, key, value })
    }

    /// Ends a run, however it ended.
    pub(super) fn end(&mut self, run: usize) -> (Option<Run>, Option<Key<K>>) {
        let Some(ended) = self.runs.remove(run) else {
            return (None, None);
        };
        if let Some(entry) = self.keys.get_mut(ended.entry) {
            entry.is_running = false;
        }
        let forgotten = self.settle(ended.entry);
        (Some(ended), forgotten)
    }

    /// Forgets windows that have ended, as far as the next few timers tell; says whether there are
    /// no others.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        looks: usize,
        forgotten: &mut Vec<Key<K>>,
    ) -> bool {
        for _ in 0..looks {
            match self.first(now) {
                First::Forgotten(key) => forgotten.push(key),
                First::Moved => {}
                First::Due(_) | First::Later(_) | First::Nothing => return true,
            }
        }
        false
    }

    /// Since when the first call is due that could be run and is not.
    pub(super) fn due_since(&self, now: Instant) -> Option<Instant> {
        if self.runs.len() >= self.max_concurrency {
            return None;
        }
        let &(_, index) = self.timers.first()?;
        let window = &self.keys.get(index)?.window;
        let due = window.next(&self.pace)?;
        (window.is_pending() && due <= now).then_some(due)
    }

    fn first(&mut self, now: Instant) -> First<K> {
        let Some(&(timer, index)) = self.timers.first() else {
            return First::Nothing;
        };
        // Once it is closed, what is pending is due, and windows are of no use.
        let at_once = self.is_closed;
        if timer > now && !at_once {
            return First::Later(timer);
        }
        if let Some(entry) = self.keys.get_mut(index) {
            let next = entry.window.next(&self.pace);
            let is_due = at_once || next.is_some_and(|next| next <= now);
            if is_due && entry.window.is_pending() {
                return First::Due(index);
            }
            entry.window.expire(&self.pace, now, at_once);
            entry.timer = None;
        }
        self.timers.pop_first();
        self.settle(index).map_or(First::Moved, First::Forgotten)
    }

    pub(super) fn standing(&self) -> Standing {
        match (self.runs.len() + self.pending > 0, self.is_driven) {
            (false, _) => Standing::Drained,
            (true, true) => Standing::Busy,
            (true, false) => Standing::NotDriven,
        }
    }

    /// How many wait for the end of all runs.
    pub(super) fn closing(&self) -> usize {
        self.closers.len()
    }

    /// A place among those who wait for the end of all runs.
    pub(super) fn add_closer(&mut self, waker: Waker) -> usize {
        self.closers.push_back(&mut self.closing, waker, ())
    }

    pub(super) fn set_closer(&mut self, closer: usize, waker: Waker) -> Option<Waker> {
        self.closers.set_waker(closer, waker)
    }

    pub(super) fn remove_closer(&mut self, closer: usize) -> Option<Waker> {
        self.closers.unlink(&mut self.closing, closer);
        self.closers.remove(closer).and_then(|(_, waker)| waker)
    }
}
