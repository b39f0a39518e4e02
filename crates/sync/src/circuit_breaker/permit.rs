use std::fmt;

use steadfast_clock::Instant;

use super::{Verdict, core::Core, state::Judgement};

/// Leave to make one call, to be handed back with its verdict.
///
/// Dropped without a verdict it frees its slot and follows the breaker's
/// [`AbandonPolicy`](crate::AbandonPolicy).
#[must_use = "a permit that is dropped counts as abandoned"]
pub struct BreakerPermit<'a> {
    core: &'a Core,
    epoch: u64,
    /// `None` if nobody asks how long the call takes.
    admitted_at: Option<Instant>,
    is_judged: bool,
}

impl<'a> BreakerPermit<'a> {
    pub(super) fn new(core: &'a Core, epoch: u64, admitted_at: Option<Instant>) -> Self {
        Self {
            core,
            epoch,
            admitted_at,
            is_judged: false,
        }
    }

    /// The call succeeded.
    pub fn success(self) -> Verdict {
        self.judge(Judgement::Success)
    }

    /// The call failed.
    pub fn failure(self) -> Verdict {
        self.judge(Judgement::Failure)
    }

    /// The call says nothing about what is behind the breaker: it counts for nothing, whatever the
    /// [`AbandonPolicy`](crate::AbandonPolicy) is.
    pub fn ignore(self) -> Verdict {
        self.judge(Judgement::Ignored)
    }

    fn judge(mut self, judgement: Judgement) -> Verdict {
        self.is_judged = true;
        self.core.judge(self.epoch, judgement, self.admitted_at)
    }
}

impl Drop for BreakerPermit<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.core
                .judge(self.epoch, Judgement::Abandoned, self.admitted_at);
        }
    }
}

impl fmt::Debug for BreakerPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerPermit")
            .field("name", &self.core.name)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
