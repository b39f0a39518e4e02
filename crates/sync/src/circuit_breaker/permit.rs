use super::{CircuitBreaker, Judgement, Verdict};

/// Leave to make one call, to be handed back with its verdict.
///
/// Dropped without a verdict it frees its slot and follows the breaker's
/// [`AbandonPolicy`](crate::AbandonPolicy).
#[derive(Debug)]
#[must_use = "a permit that is dropped counts as abandoned"]
pub struct BreakerPermit<'a> {
    breaker: &'a CircuitBreaker,
    epoch: u64,
    judged: bool,
}

impl<'a> BreakerPermit<'a> {
    pub(super) fn new(breaker: &'a CircuitBreaker, epoch: u64) -> Self {
        Self {
            breaker,
            epoch,
            judged: false,
        }
    }

    /// The call succeeded.
    pub fn success(mut self) -> Verdict {
        self.judged = true;
        self.breaker.judge(self.epoch, Judgement::Success)
    }

    /// The call failed.
    pub fn failure(mut self) -> Verdict {
        self.judged = true;
        self.breaker.judge(self.epoch, Judgement::Failure)
    }
}

impl Drop for BreakerPermit<'_> {
    fn drop(&mut self) {
        if !self.judged {
            self.breaker.judge(self.epoch, Judgement::Abandoned);
        }
    }
}
