//! Units that callers take and wait for in line: the specification of the semaphore, and of one
//! key of the lock, which is the case of a single unit.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use steadfast_sync::{
    AcquireError, AsyncLock, LockError, LockGuard, Permit, Semaphore, TryAcquireError, TryLockError,
};

use super::checker::{History, NotLinearizable, Spec, check};

/// What the history is recorded of: ours, or something that is wrong on purpose.
pub(crate) trait Line: Sync {
    type Held<'a>: Send
    where
        Self: 'a;

    fn try_take(&self, units: usize) -> Result<Self::Held<'_>, Refusal>;
    fn take(&self, units: usize) -> impl Future<Output = Result<Self::Held<'_>, Refusal>> + Send;
    /// Gives back what is held, as often as the interface allows.
    fn give_back(&self, held: Self::Held<'_>) {
        drop(held);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Refusal {
    Unavailable,
    ExceedsCapacity,
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    TryTake(usize, Result<(), Refusal>),
    /// A caller, known by its number, comes and wants units.
    Request(usize, usize),
    Outcome(usize, Result<(), Refusal>),
    /// A caller that has no outcome yet gives up.
    GiveUp(usize),
    GiveBack(usize),
    SetCapacity(usize),
    Close,
}

/// The state of a line, one operation after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LineSpec {
    capacity: usize,
    in_use: usize,
    closed: bool,
    /// Callers and the units that they want, in the order in which they came.
    waiting: VecDeque<(usize, usize)>,
    /// Callers whose outcome is settled and not yet returned, with their units.
    settled: BTreeMap<usize, (usize, Result<(), Refusal>)>,
}

impl LineSpec {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            in_use: 0,
            closed: false,
            waiting: VecDeque::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Whether the units are there, and nobody waits for them.
    fn is_free(&self, units: usize) -> bool {
        self.waiting.is_empty() && self.in_use + units <= self.capacity
    }

    fn try_take(&mut self, units: usize) -> Result<(), Refusal> {
        if self.closed {
            Err(Refusal::Closed)
        } else if units > self.capacity {
            Err(Refusal::ExceedsCapacity)
        } else if !self.is_free(units) {
            Err(Refusal::Unavailable)
        } else {
            self.in_use += units;
            Ok(())
        }
    }

    fn request(&mut self, caller: usize, units: usize) {
        match self.try_take(units) {
            Err(Refusal::Unavailable) => self.waiting.push_back((caller, units)),
            outcome => _ = self.settled.insert(caller, (units, outcome)),
        }
    }

    fn refuse(&mut self, is_refused: impl Fn(usize) -> bool, refusal: Refusal) {
        let waiting = std::mem::take(&mut self.waiting);
        for (caller, units) in waiting {
            if is_refused(units) {
                self.settled.insert(caller, (units, Err(refusal)));
            } else {
                self.waiting.push_back((caller, units));
            }
        }
    }

    fn give_up(&mut self, caller: usize) {
        match self.settled.remove(&caller) {
            Some((units, Ok(()))) => self.in_use -= units,
            Some(_) => {}
            None => self.waiting.retain(|(waiting, _)| *waiting != caller),
        }
    }

    fn serve(&mut self) {
        while let Some((caller, units)) = self.waiting.front().copied()
            && self.in_use + units <= self.capacity
        {
            self.waiting.pop_front();
            self.in_use += units;
            self.settled.insert(caller, (units, Ok(())));
        }
    }
}

impl Spec for LineSpec {
    type Call = Call;

    fn apply(&self, call: &Call) -> Vec<Self> {
        let mut next = self.clone();
        let is_possible = match call {
            Call::TryTake(units, outcome) => next.try_take(*units) == *outcome,
            Call::Request(caller, units) => {
                next.request(*caller, *units);
                true
            }
            Call::Outcome(caller, outcome) => {
                let settled = next.settled.remove(caller);
                settled.is_some_and(|(_, settled)| settled == *outcome)
            }
            Call::GiveUp(caller) => {
                let is_known = next.settled.contains_key(caller)
                    || next.waiting.iter().any(|(waiting, _)| waiting == caller);
                next.give_up(*caller);
                is_known
            }
            Call::GiveBack(units) => {
                let is_held = next.in_use >= *units;
                next.in_use = next.in_use.saturating_sub(*units);
                is_held
            }
            Call::SetCapacity(capacity) => {
                next.capacity = *capacity;
                next.refuse(|units| units > *capacity, Refusal::ExceedsCapacity);
                true
            }
            Call::Close => {
                next.closed = true;
                next.refuse(|_| true, Refusal::Closed);
                true
            }
        };
        next.serve();
        if is_possible { vec![next] } else { Vec::new() }
    }
}

/// A line whose operations are recorded.
#[derive(Debug)]
pub(crate) struct Recorded<L> {
    pub(crate) line: L,
    history: History<Call>,
}

impl<L: Line> Recorded<L> {
    pub(crate) fn new(line: L) -> Self {
        let history = History::new();
        Self { line, history }
    }

    pub(crate) fn try_take(&self, units: usize) -> Option<L::Held<'_>> {
        let invoked = self.history.now();
        let outcome = self.line.try_take(units);
        let recorded = outcome.as_ref().map(|_| ()).map_err(|refusal| *refusal);
        self.history
            .returned(invoked, Call::TryTake(units, recorded));
        outcome.ok()
    }

    /// Takes units, and gives up when they have not come after so many polls.
    pub(crate) async fn take(&self, units: usize, max_polls: usize) -> Option<L::Held<'_>> {
        let history = &self.history;
        let caller = history.now();
        let (mut polls, mut gave_up) = (0, 0);
        let outcome = {
            let mut take = pin!(self.line.take(units));
            let outcome = poll_fn(|cx| {
                let polled = take.as_mut().poll(cx);
                if polls == 0 {
                    history.returned(caller, Call::Request(caller, units));
                }
                polls += 1;
                match polled {
                    Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                    Poll::Pending if polls >= max_polls => {
                        gave_up = history.now();
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            outcome.await
        };
        let Some(outcome) = outcome else {
            // It was dropped just now.
            history.returned(gave_up, Call::GiveUp(caller));
            return None;
        };
        let recorded = outcome.as_ref().map(|_| ()).map_err(|refusal| *refusal);
        history.returned(caller, Call::Outcome(caller, recorded));
        outcome.ok()
    }

    pub(crate) fn give_back(&self, held: L::Held<'_>, units: usize) {
        let invoked = self.history.now();
        self.line.give_back(held);
        self.history.returned(invoked, Call::GiveBack(units));
    }

    /// Something else, that is done to the line itself.
    pub(crate) fn change(&self, call: Call, change: impl FnOnce(&L)) {
        let invoked = self.history.now();
        change(&self.line);
        self.history.returned(invoked, call);
    }

    pub(crate) fn check(self, capacity: usize) -> Result<(), NotLinearizable> {
        check(LineSpec::new(capacity), self.history.into_operations())
    }
}

impl Line for Semaphore {
    type Held<'a> = Permit<'a>;

    fn try_take(&self, units: usize) -> Result<Permit<'_>, Refusal> {
        self.try_acquire(units).map_err(|error| match error {
            TryAcquireError::ExceedsCapacity { .. } => Refusal::ExceedsCapacity,
            TryAcquireError::Closed => Refusal::Closed,
            _ => Refusal::Unavailable,
        })
    }

    async fn take(&self, units: usize) -> Result<Permit<'_>, Refusal> {
        self.acquire(units).await.map_err(|error| match error {
            AcquireError::ExceedsCapacity { .. } => Refusal::ExceedsCapacity,
            AcquireError::Closed => Refusal::Closed,
            _ => Refusal::Unavailable,
        })
    }
}

/// The line of one key.
#[derive(Debug)]
pub(crate) struct LockOfKey(pub(crate) AsyncLock<u8>, pub(crate) u8);

impl Line for LockOfKey {
    type Held<'a> = LockGuard<'a, u8>;

    fn try_take(&self, _: usize) -> Result<LockGuard<'_, u8>, Refusal> {
        self.0.try_lock(self.1).map_err(|error| match error {
            TryLockError::Closed => Refusal::Closed,
            _ => Refusal::Unavailable,
        })
    }

    async fn take(&self, _: usize) -> Result<LockGuard<'_, u8>, Refusal> {
        self.0.lock(self.1).await.map_err(|error| match error {
            LockError::Closed => Refusal::Closed,
            _ => Refusal::Unavailable,
        })
    }
}
