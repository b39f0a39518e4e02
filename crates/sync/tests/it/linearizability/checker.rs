//! Is a recorded history linearizable? The search of Wing and Gong ("Testing and Verifying
//! Concurrent Objects", JPDC 17, 1993) with the memory of Lowe ("Testing for linearizability",
//! Concurrency and Computation 29(4), 2017): a set of operations that led to the same state once
//! is not tried again.
//!
//! An operation that waits is recorded as two, its request and its outcome, as is usual for dual
//! data structures (Scherer and Scott, "Nonblocking Concurrent Data Structures with Condition
//! Synchronization", DISC 2004): so the order in which callers queued is part of the history.

use std::{
    collections::HashSet,
    fmt::{self, Debug},
    hash::Hash,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What an object does when one operation comes after the other. The value is its state.
pub(crate) trait Spec: Clone + Eq + Hash {
    /// An operation with its outcome.
    type Call: Clone + Debug;

    /// The states in which the operation may leave the object; none if it cannot have this
    /// outcome.
    fn apply(&self, call: &Self::Call) -> Vec<Self>;
}

/// An operation, and the moments between which it took effect.
#[derive(Clone, Debug)]
pub(crate) struct Operation<C> {
    pub(crate) call: C,
    pub(crate) invoked: usize,
    pub(crate) returned: usize,
}

/// The operations of any number of threads. It uses the standard library also under a checker,
/// which takes nobody off in the middle of it.
#[derive(Debug)]
pub(crate) struct History<C> {
    moments: AtomicUsize,
    operations: Mutex<Vec<Operation<C>>>,
}

/// No order of the operations explains their outcomes: the history, in the order of the
/// invocations.
pub(crate) struct NotLinearizable(String);

impl<C> History<C> {
    pub(crate) fn new() -> Self {
        Self {
            moments: AtomicUsize::new(0),
            operations: Mutex::default(),
        }
    }

    /// A moment after all that were asked for before.
    pub(crate) fn now(&self) -> usize {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// An operation that was invoked at a moment and returns now.
    pub(crate) fn returned(&self, invoked: usize, call: C) {
        let returned = self.now();
        let operation = Operation {
            call,
            invoked,
            returned,
        };
        let operations = self.operations.lock();
        operations
            .unwrap_or_else(PoisonError::into_inner)
            .push(operation);
    }

    pub(crate) fn into_operations(self) -> Vec<Operation<C>> {
        let operations = self.operations.into_inner();
        operations.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for an order of all operations that respects those that did not overlap, and in which
/// each has the outcome that it had.
pub(crate) fn check<S: Spec>(
    initial: S,
    mut operations: Vec<Operation<S::Call>>,
) -> Result<(), NotLinearizable> {
    operations.sort_by_key(|operation| operation.invoked);
    assert!(operations.len() < 128, "too long a history to check");
    let mut tried = HashSet::new();
    if explains(&operations, 0, initial, &mut tried) {
        return Ok(());
    }
    let lines = operations.iter().map(|o| {
        let (from, to) = (o.invoked, o.returned);
        format!("{from:4} – {to:4}  {:?}\n", o.call)
    });
    Err(NotLinearizable(lines.collect()))
}

impl fmt::Debug for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not linearizable:\n{}", self.0)
    }
}

/// Whether the operations that are not in the set `done` can follow.
fn explains<S: Spec>(
    operations: &[Operation<S::Call>],
    done: u128,
    state: S,
    tried: &mut HashSet<(u128, S)>,
) -> bool {
    let is_open = |index: usize| done & (1 << index) == 0;
    let open = || (0..operations.len()).filter(|index| is_open(*index));
    // What returned before another was invoked comes before it.
    let Some(first_return) = open().map(|index| operations[index].returned).min() else {
        return true;
    };
    if !tried.insert((done, state.clone())) {
        return false;
    }
    open()
        .filter(|index| operations[*index].invoked < first_return)
        .any(|index| {
            let states = state.apply(&operations[index].call);
            states
                .into_iter()
                .any(|state| explains(operations, done | 1 << index, state, tried))
        })
}
