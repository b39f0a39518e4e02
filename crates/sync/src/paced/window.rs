use std::time::Duration;

use tokio::time::Instant;

use super::Edges;

/// How calls are spaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) wait: Duration,
    /// Whether each call makes the window begin anew.
    pub(crate) is_sliding: bool,
    /// How long a call is held back at most.
    pub(crate) max_wait: Option<Duration>,
    pub(crate) edges: Edges,
}

/// The calls of one window, and when they are due; time is an argument.
#[derive(Debug)]
pub(crate) struct Window<T> {
    pace: Pace,
    /// When the window began, or began anew. None while there is no window.
    opened: Option<Instant>,
    /// The call that is run at once.
    leading: Option<T>,
    /// The latest of those that wait for the end of the window.
    held: Option<T>,
    /// When the first of those was made.
    held_since: Option<Instant>,
    /// Whether what is held is due before its time.
    is_flushed: bool,
}

impl<T> Window<T> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            opened: None,
            leading: None,
            held: None,
            held_since: None,
            is_flushed: false,
        }
    }

    /// Takes a call; returns the one that it makes obsolete, or itself if it is not to be run.
    pub(crate) fn call(&mut self, now: Instant, value: T) -> Option<T> {
        let has_window = self.opened.is_some_and(|opened| {
            self.is_pending() || now.saturating_duration_since(opened) < self.pace.wait
        });
        if !has_window {
            self.opened = Some(now);
            return match self.pace.edges {
                Edges::Leading | Edges::Both => self.leading.replace(value),
                Edges::Trailing => self.hold(now, value),
            };
        }
        // What is due stays due, also if nobody has taken it yet.
        if self.pace.is_sliding && !self.is_due(now) {
            self.opened = Some(now);
        }
        match self.pace.edges {
            Edges::Leading => Some(value),
            Edges::Trailing | Edges::Both => self.hold(now, value),
        }
    }

    /// What is to be run now, if anything is; the window begins anew with it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<T> {
        if let Some(value) = self.leading.take() {
            self.opened = Some(now);
            return Some(value);
        }
        if !self.is_due(now) {
            return None;
        }
        self.opened = Some(now);
        self.held_since = None;
        self.is_flushed = false;
        self.held.take()
    }

    /// When what is held is due at the latest, if no other call is made.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (since, opened) = (self.held_since?, self.opened?);
        let quiet = opened + self.pace.wait;
        let max = self.pace.max_wait.map(|max| since + max);
        Some(max.map_or(quiet, |max| max.min(quiet)))
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.leading.is_some() || self.held.is_some()
    }

    /// Makes what is held due.
    pub(crate) fn flush(&mut self) {
        self.is_flushed = self.held.is_some();
    }

    /// Ends the window; what was not run comes back.
    pub(crate) fn cancel(&mut self) -> (Option<T>, Option<T>) {
        self.opened = None;
        self.held_since = None;
        self.is_flushed = false;
        (self.leading.take(), self.held.take())
    }

    fn is_due(&self, now: Instant) -> bool {
        self.is_flushed || self.due().is_some_and(|due| due <= now)
    }

    fn hold(&mut self, now: Instant, value: T) -> Option<T> {
        self.held_since.get_or_insert(now);
        self.held.replace(value)
    }
}
