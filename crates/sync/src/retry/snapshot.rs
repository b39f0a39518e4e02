/// What can be seen of a [`Retry`](crate::Retry) at one moment. Totals are since it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RetrySnapshot {
    /// Runs that are waiting, for an attempt or for the next one.
    pub running: usize,
    /// Attempts that were begun.
    pub attempts: u64,
    /// Runs that ended with a value.
    pub succeeded: u64,
    /// Runs that used up their attempts.
    pub exhausted: u64,
    /// Runs that used up their time.
    pub past_deadline: u64,
    /// Runs whose failure was permanent.
    pub not_retryable: u64,
    /// Runs that the budget ended.
    pub budget_empty: u64,
    /// Whole tokens that are left in the budget, if the policy has one.
    pub budget_tokens: Option<u64>,
}

#[cfg(feature = "metrics")]
impl RetrySnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        let mut figures = vec![
            Gauge("steadfast_sync_running", self.running as f64),
            Total("steadfast_sync_attempts_total", self.attempts),
            Total("steadfast_sync_succeeded_total", self.succeeded),
        ];
        if let Some(tokens) = self.budget_tokens {
            figures.push(Gauge("steadfast_sync_budget_tokens", tokens as f64));
        }
        figures
    }
}
