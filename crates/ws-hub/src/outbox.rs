use std::{
    collections::VecDeque,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Disconnect, Limits, lock::lock};

/// How much is joined into one frame.
const BATCH_BYTES: usize = 16 * 1024;
/// Room for messages that an empty queue keeps.
const KEPT_MESSAGES: usize = 32;
/// The protocol's ping.
const PING: &[u8] = b"{}";

/// What waits for one client: messages in order, a ping apart, and the decision to end.
///
/// Bounded in messages and bytes: a push beyond them decides to evict the client as slow and
/// drops what waits. After any decision to end nothing is taken in. One task takes out.
#[derive(Debug)]
pub(crate) struct Outbox {
    max_messages: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    ping: bool,
    closing: Option<Disconnect>,
    waker: Option<Waker>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits for the client.
    Queued,
    /// It was one too many: the client is evicted.
    Evicted,
    /// The client is on its way out.
    Closed,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max_messages: limits.queue_messages,
            max_bytes: limits.queue_bytes,
            state: Mutex::default(),
        }
    }

    /// Queues a message.
    ///
    /// A message larger than the whole bound is let in when nothing else waits.
    pub(crate) fn push(&self, message: Bytes) -> Pushed {
        let mut state = lock(&self.state);
        if state.closing.is_some() {
            return Pushed::Closed;
        }
        let bytes = state.bytes + message.len();
        let full = state.queue.len() >= self.max_messages || bytes > self.max_bytes;
        let pushed = if full && !state.queue.is_empty() {
            state.discard(Disconnect::SLOW);
            Pushed::Evicted
        } else {
            state.bytes = bytes;
            state.queue.push_back(message);
            Pushed::Queued
        };
        wake(state);
        pushed
    }

    /// Asks for a ping, ahead of what waits.
    pub(crate) fn ping(&self) {
        let mut state = lock(&self.state);
        state.ping = state.closing.is_none();
        wake(state);
    }

    /// Decides to end the connection once what waits is written; the first decision counts.
    pub(crate) fn close(&self, disconnect: Disconnect) -> bool {
        let mut state = lock(&self.state);
        if state.closing.is_some() {
            return false;
        }
        state.closing = Some(disconnect);
        wake(state);
        true
    }

    /// Like [`close`](Self::close), but drops what waits: the client would not read it.
    pub(crate) fn evict(&self, disconnect: Disconnect) -> bool {
        let mut state = lock(&self.state);
        if state.closing.is_some() {
            return false;
        }
        state.discard(disconnect);
        wake(state);
        true
    }

    pub(crate) fn closing(&self) -> Option<Disconnect> {
        lock(&self.state).closing.clone()
    }

    /// Is there so little waiting that the client's commands may add to it?
    pub(crate) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.queue.len() <= self.max_messages / 2 && state.bytes <= self.max_bytes / 2
    }

    /// The next batch, joined by newline; pending while nothing waits.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut state = lock(&self.state);
        match state.take() {
            Some(batch) => Poll::Ready(batch),
            None => {
                state.register(cx);
                Poll::Pending
            }
        }
    }

    /// The decision to end; pending while there is none.
    pub(crate) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        let mut state = lock(&self.state);
        match &state.closing {
            Some(disconnect) => Poll::Ready(disconnect.clone()),
            None => {
                state.register(cx);
                Poll::Pending
            }
        }
    }

    /// The next batch, if anything waits.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Bytes> {
        lock(&self.state).take()
    }
}

impl State {
    fn discard(&mut self, disconnect: Disconnect) {
        self.closing = Some(disconnect);
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.ping = false;
    }

    fn register(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let batch = self.next_batch();
        if self.queue.is_empty() {
            self.queue.shrink_to(KEPT_MESSAGES);
        }
        batch
    }

    fn next_batch(&mut self) -> Option<Bytes> {
        let ping = std::mem::take(&mut self.ping);
        if !ping && self.queue.len() <= 1 {
            let only = self.queue.pop_front()?;
            self.bytes -= only.len();
            return Some(only);
        }
        let mut batch = BytesMut::with_capacity(self.bytes.min(BATCH_BYTES) + PING.len() + 1);
        if ping {
            batch.put_slice(PING);
        }
        while let Some(next) = self.queue.front() {
            if !batch.is_empty() {
                if batch.len() + next.len() >= BATCH_BYTES {
                    break;
                }
                batch.put_u8(b'\n');
            }
            batch.put_slice(next);
            self.bytes -= next.len();
            self.queue.pop_front();
        }
        Some(batch.freeze())
    }
}

/// Wakes the task that takes out, after the lock is released.
fn wake(mut state: std::sync::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: usize, bytes: usize) -> Outbox {
        Outbox::new(&Limits {
            queue_messages: messages,
            queue_bytes: bytes,
            ..Limits::default()
        })
    }

    #[test]
    fn waiting_messages_are_joined_in_order_with_the_ping_first() {
        let outbox = outbox(10, 100);
        outbox.push("1".into());
        outbox.push("2".into());
        outbox.ping();
        assert_eq!(outbox.take().unwrap(), "{}\n1\n2");
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn batch_ends_at_its_bound_and_loses_nothing() {
        let outbox = outbox(10, 1 << 20);
        let large = Bytes::from(vec![b'x'; BATCH_BYTES]);
        for _ in 0..2 {
            outbox.push(large.clone());
        }
        assert_eq!(outbox.take().unwrap(), large);
        assert_eq!(outbox.take().unwrap(), large);
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn one_message_too_many_evicts_and_drops_what_waits() {
        let outbox = outbox(2, 100);
        assert_eq!(outbox.push("1".into()), Pushed::Queued);
        assert_eq!(outbox.push("2".into()), Pushed::Queued);
        assert_eq!(outbox.push("3".into()), Pushed::Evicted);
        assert_eq!(outbox.push("4".into()), Pushed::Closed);
        assert_eq!(outbox.closing(), Some(Disconnect::SLOW));
        outbox.ping();
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let outbox = outbox(10, 4);
        assert_eq!(outbox.push("0123456789".into()), Pushed::Queued);
        assert_eq!(outbox.take().unwrap().len(), 10);
        assert_eq!(outbox.push("123".into()), Pushed::Queued);
        assert_eq!(outbox.push("45".into()), Pushed::Evicted);
    }

    #[test]
    fn closing_keeps_what_waits_and_takes_in_nothing_more() {
        let outbox = outbox(10, 100);
        outbox.push("1".into());
        assert!(outbox.close(Disconnect::SHUTDOWN));
        assert!(!outbox.close(Disconnect::SLOW));
        assert_eq!(outbox.push("2".into()), Pushed::Closed);
        assert_eq!(outbox.take().unwrap(), "1");
        assert_eq!(outbox.closing(), Some(Disconnect::SHUTDOWN));
    }

    #[test]
    fn burst_that_is_over_leaves_no_room_behind() {
        let outbox = outbox(1_000, 1 << 20);
        for _ in 0..1_000 {
            outbox.push("1".into());
        }
        while outbox.take().is_some() {}
        assert!(lock(&outbox.state).queue.capacity() <= KEPT_MESSAGES);
    }
}
