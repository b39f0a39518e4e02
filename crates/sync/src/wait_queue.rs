use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Waker,
};

use crate::slab::Slab;

/// The end of a queue.
const NIL: usize = usize::MAX;

/// The waiters of one primitive (or of one shard of it), linked into any number of queues.
///
/// Lives under its primitive's mutex. Every operation is O(1), also the removal from the middle.
/// It never calls, clones or drops a waker: those go in and come out by value, and the caller
/// deals with them after it has released the mutex.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    nodes: Slab<Node<T>>,
}

/// A FIFO queue of waiters: the ends of a doubly linked list in [`Waiters`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    head: usize,
    tail: usize,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    waker: Option<Waker>,
    prev: usize,
    next: usize,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            head: NIL,
            tail: NIL,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The waiter that is served next.
    pub(crate) fn front(&self) -> Option<usize> {
        (self.head != NIL).then_some(self.head)
    }
}

impl<T> Waiters<T> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Slab::new() }
    }

    /// Waiters in all queues, and those taken from a queue and not yet removed.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// One past the highest index in use.
    pub(crate) fn slots(&self) -> usize {
        self.nodes.slots()
    }

    pub(crate) fn get(&self, waiter: usize) -> Option<&T> {
        self.nodes.get(waiter).map(|node| &node.value)
    }

    pub(crate) fn get_mut(&mut self, waiter: usize) -> Option<&mut T> {
        self.nodes.get_mut(waiter).map(|node| &mut node.value)
    }

    pub(crate) fn push_back(&mut self, queue: &mut Queue, waker: Waker, value: T) -> usize {
        let waiter = self.insert(Some(waker), value);
        self.link_back(queue, waiter);
        waiter
    }

    /// Adds somebody who is in no queue.
    #[inline]
    pub(crate) fn insert(&mut self, waker: Option<Waker>, value: T) -> usize {
        self.nodes.insert(Node {
            value,
            waker,
            prev: NIL,
            next: NIL,
        })
    }

    /// Puts somebody who is in no queue at the end of one.
    #[inline]
    pub(crate) fn link_back(&mut self, queue: &mut Queue, waiter: usize) {
        let Some(node) = self.nodes.get_mut(waiter) else {
            return;
        };
        node.prev = queue.tail;
        match self.nodes.get_mut(queue.tail) {
            Some(last) => last.next = waiter,
            None => queue.head = waiter,
        }
        queue.tail = waiter;
        queue.len += 1;
    }

    /// Takes a waiter out of its queue; it stays here, under its index, until it is removed.
    #[inline]
    pub(crate) fn unlink(&mut self, queue: &mut Queue, waiter: usize) {
        let Some(node) = self.nodes.get_mut(waiter) else {
            return;
        };
        let (prev, next) = (node.prev, node.next);
        (node.prev, node.next) = (NIL, NIL);
        match self.nodes.get_mut(prev) {
            Some(node) => node.next = next,
            None => queue.head = next,
        }
        match self.nodes.get_mut(next) {
            Some(node) => node.prev = prev,
            None => queue.tail = prev,
        }
        queue.len -= 1;
    }

    /// Takes the first waiter out of the queue.
    pub(crate) fn pop_front(&mut self, queue: &mut Queue) -> Option<usize> {
        let waiter = queue.front()?;
        self.unlink(queue, waiter);
        Some(waiter)
    }

    /// The waiter behind this one.
    pub(crate) fn next(&self, waiter: usize) -> Option<usize> {
        let next = self.nodes.get(waiter)?.next;
        (next != NIL).then_some(next)
    }

    /// The waiters of a queue, from its head.
    pub(crate) fn iter(&self, queue: &Queue) -> impl Iterator<Item = &T> {
        let mut next = queue.front();
        std::iter::from_fn(move || {
            let node = self.nodes.get(next?)?;
            next = (node.next != NIL).then_some(node.next);
            Some(&node.value)
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.nodes.iter_mut().map(|(_, node)| &mut node.value)
    }

    /// Removes a waiter that is in no queue any more; its waker is the caller's to drop.
    pub(crate) fn remove(&mut self, waiter: usize) -> Option<(T, Option<Waker>)> {
        let node = self.nodes.remove(waiter)?;
        Some((node.value, node.waker))
    }

    /// As [`remove`](Self::remove), where only the waker is of interest.
    #[inline]
    pub(crate) fn discard(&mut self, waiter: usize) -> Option<Waker> {
        let waker = |node: &mut Node<T>| node.waker.take();
        self.nodes.remove_part(waiter, waker).flatten()
    }

    /// Takes the waker, to be called once the mutex is released.
    pub(crate) fn take_waker(&mut self, waiter: usize) -> Option<Waker> {
        self.nodes.get_mut(waiter)?.waker.take()
    }

    /// Whether the waker that is stored wakes the same task.
    pub(crate) fn will_wake(&self, waiter: usize, waker: &Waker) -> bool {
        let stored = self.nodes.get(waiter).and_then(|node| node.waker.as_ref());
        stored.is_some_and(|stored| stored.will_wake(waker))
    }

    /// Stores the waker of the latest poll and returns what the caller has to drop.
    pub(crate) fn set_waker(&mut self, waiter: usize, waker: Waker) -> Option<Waker> {
        match self.nodes.get_mut(waiter) {
            Some(node) => node.waker.replace(waker),
            None => Some(waker),
        }
    }
}

/// Wakers collected under a mutex, called after it is released.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct WakeList {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl WakeList {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        match (waker, &self.first) {
            (None, _) => {}
            (waker, None) => self.first = waker,
            (Some(waker), Some(_)) => self.rest.push(waker),
        }
    }

    /// Wakes all of them, also when one panics; the first panic is raised again at the end.
    pub(crate) fn wake(self) {
        let mut panic = None;
        for waker in self.first.into_iter().chain(self.rest) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panic.get_or_insert(payload);
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Wake,
    };

    use super::*;

    fn drain(waiters: &mut Waiters<u32>, queue: &mut Queue) -> Vec<u32> {
        std::iter::from_fn(|| {
            let waiter = waiters.pop_front(queue)?;
            waiters.remove(waiter).map(|(value, _)| value)
        })
        .collect()
    }

    #[test]
    fn waiters_leave_in_the_order_in_which_they_came() {
        let (mut waiters, mut queue) = (Waiters::new(), Queue::new());
        for value in 0..5 {
            waiters.push_back(&mut queue, Waker::noop().clone(), value);
        }
        assert_eq!(drain(&mut waiters, &mut queue), [0, 1, 2, 3, 4]);
        assert_eq!((queue.len(), waiters.len()), (0, 0));
    }

    #[test]
    fn unlinked_waiters_leave_the_order_of_the_others_alone() {
        let (mut waiters, mut queue) = (Waiters::new(), Queue::new());
        let all: Vec<_> = (0..5)
            .map(|value| waiters.push_back(&mut queue, Waker::noop().clone(), value))
            .collect();
        for index in [0, 2, 4] {
            waiters.unlink(&mut queue, all[index]);
            waiters.remove(all[index]);
        }
        assert_eq!(queue.front(), Some(all[1]));
        assert_eq!(drain(&mut waiters, &mut queue), [1, 3]);
    }

    #[test]
    fn two_queues_share_one_set_of_waiters() {
        let (mut waiters, mut a, mut b) = (Waiters::new(), Queue::new(), Queue::new());
        for value in 0..4 {
            let queue = if value % 2 == 0 { &mut a } else { &mut b };
            waiters.push_back(queue, Waker::noop().clone(), value);
        }
        assert_eq!(drain(&mut waiters, &mut b), [1, 3]);
        assert_eq!(drain(&mut waiters, &mut a), [0, 2]);
    }

    #[test]
    fn panicking_waker_does_not_keep_the_others_asleep() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("on purpose");
            }
        }
        #[derive(Default)]
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let woken = Arc::new(Woken::default());
        let mut wakes = WakeList::default();
        wakes.push(Some(Waker::from(Arc::new(Panics))));
        wakes.push(Some(Waker::from(Arc::clone(&woken))));
        assert!(catch_unwind(AssertUnwindSafe(|| wakes.wake())).is_err());
        assert!(woken.0.load(Ordering::SeqCst));
    }
}
