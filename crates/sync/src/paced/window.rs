use std::time::Duration;

use steadfast_clock::Instant;

use super::Edges;

/// How calls are spaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) wait: Duration,
    /// Whether each call makes the window begin anew.
    pub(super) slides: bool,
    /// How long a call is held back at most.
    pub(super) max_wait: Option<Duration>,
    pub(super) edges: Edges,
}

/// The calls of one window, and when they are due; time is an argument.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// When the window began, or began anew. None while there is no window.
    opened: Option<Instant>,
    /// The call that is run at once.
    leading: Option<T>,
    /// The latest of those that wait for the end of the window, or what they were folded into.
    held: Option<T>,
    /// When the first of those was made.
    held_since: Option<Instant>,
    /// How many callers have taken out what was held, to fold it. What is held is due only when
    /// all of it is here again.
    folding: usize,
    /// Whether what is held is due before its time.
    is_flushed: bool,
}

/// What becomes of the value of a call.
pub(super) enum Called<T> {
    Kept,
    /// To be dropped: it is not to be run, or a later call took its place.
    Obsolete(T),
    /// To be folded: what was held, and the call's value.
    Fold(T, T),
}

impl<T> Window<T> {
    pub(super) fn new() -> Self {
        Self {
            opened: None,
            leading: None,
            held: None,
            held_since: None,
            folding: 0,
            is_flushed: false,
        }
    }

    pub(super) fn call(&mut self, pace: &Pace, now: Instant, value: T, folds: bool) -> Called<T> {
        let has_window = self.opened.is_some_and(|opened| {
            self.is_pending() || now.saturating_duration_since(opened) < pace.wait
        });
        if !has_window {
            self.opened = Some(now);
            if pace.edges == Edges::Trailing {
                return self.hold(now, value, folds);
            }
            self.leading = Some(value);
            return Called::Kept;
        }
        // What is due stays due, also if nobody has taken it yet.
        if pace.slides && self.leading.is_none() && !self.is_due(pace, now) {
            self.opened = Some(now);
        }
        match pace.edges {
            Edges::Leading => Called::Obsolete(value),
            Edges::Trailing | Edges::Both => self.hold(now, value, folds),
        }
    }

    fn hold(&mut self, now: Instant, value: T, folds: bool) -> Called<T> {
        self.held_since.get_or_insert(now);
        match self.held.take() {
            Some(held) if folds => {
                self.folding += 1;
                Called::Fold(held, value)
            }
            held => {
                self.held = Some(value);
                held.map_or(Called::Kept, Called::Obsolete)
            }
        }
    }

    /// Puts back what a caller has folded; if others were held meanwhile, gives both to be folded.
    pub(super) fn put_back(&mut self, folded: T) -> Option<(T, T)> {
        if let Some(newer) = self.held.take() {
            return Some((folded, newer));
        }
        self.held = Some(folded);
        self.folding -= 1;
        None
    }

    /// What a caller had in hand is lost.
    pub(super) fn lose(&mut self) {
        self.folding -= 1;
        if self.folding == 0 && self.held.is_none() {
            self.held_since = None;
            self.is_flushed = false;
        }
    }

    /// What is to be run now, if anything is; the window begins anew with it. With `at_once` also
    /// what is not due yet.
    pub(super) fn take(&mut self, pace: &Pace, now: Instant, at_once: bool) -> Option<T> {
        if let Some(value) = self.leading.take() {
            self.opened = Some(now);
            return Some(value);
        }
        if self.folding > 0 || !(at_once || self.is_due(pace, now)) {
            return None;
        }
        let value = self.held.take()?;
        self.opened = Some(now);
        self.held_since = None;
        self.is_flushed = false;
        Some(value)
    }

    /// Forgets the window if it has ended and nothing is pending, or with `at_once` before its end.
    pub(super) fn expire(&mut self, pace: &Pace, now: Instant, at_once: bool) {
        let has_ended = self.opened.is_some_and(|opened| opened + pace.wait <= now);
        if (at_once || has_ended) && !self.is_pending() {
            self.opened = None;
        }
    }

    /// When something is to be done next: to run a call, or to forget the window.
    pub(super) fn next(&self, pace: &Pace) -> Option<Instant> {
        if self.leading.is_some() {
            return self.opened;
        }
        if self.folding > 0 {
            return None;
        }
        if self.held.is_some() {
            return self.due(pace);
        }
        self.opened.map(|opened| opened + pace.wait)
    }

    /// Since when, or from when on, what is held is due if no other call is made.
    pub(super) fn due(&self, pace: &Pace) -> Option<Instant> {
        let (since, opened) = (self.held_since?, self.opened?);
        if self.is_flushed {
            return Some(since);
        }
        let quiet = opened + pace.wait;
        let max = pace.max_wait.map(|max| since + max);
        Some(max.map_or(quiet, |max| max.min(quiet)))
    }

    /// When the first call was made that is not run yet.
    pub(super) fn pending_since(&self) -> Option<Instant> {
        let leading = self.leading.as_ref().and(self.opened);
        leading.or(self.held_since)
    }

    pub(super) fn is_pending(&self) -> bool {
        self.leading.is_some() || self.held_since.is_some()
    }

    /// Whether nothing has to be remembered.
    pub(super) fn is_idle(&self) -> bool {
        self.opened.is_none()
    }

    /// Makes what is held due.
    pub(super) fn flush(&mut self) {
        self.is_flushed = self.held_since.is_some();
    }

    /// Ends the window; what was not run comes back.
    pub(super) fn cancel(&mut self) -> (Option<T>, Option<T>) {
        let cancelled = (self.leading.take(), self.held.take());
        *self = Self::new();
        cancelled
    }

    fn is_due(&self, pace: &Pace, now: Instant) -> bool {
        self.due(pace).is_some_and(|due| due <= now)
    }
}
