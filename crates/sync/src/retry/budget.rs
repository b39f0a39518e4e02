use crate::{
    ConfigError,
    config::check_count,
    rt::atomic::{AtomicU64, Ordering},
};

/// Tokens are counted in thousandths.
const TOKEN: u64 = 1_000;

/// A limit on retries that many callers share, so that they do not multiply an outage.
///
/// Every failure that may be retried takes a token and every success puts back `refill`; retries are
/// allowed while more than half of the tokens are there. This is gRPC's retry throttling
/// (gRFC A6). First attempts are never refused, and neither permanent failures nor
/// [`Decision::Rejected`](crate::Decision::Rejected) take a token.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), steadfast_sync::ConfigError> {
/// let budget = steadfast_sync::RetryBudget::new(10, 0.1)?;
/// assert_eq!(budget.tokens(), 10);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    max: u64,
    refill: u64,
    tokens: AtomicU64,
}

impl RetryBudget {
    /// A full budget of `max_tokens`, refilled by `refill` tokens per success (to a thousandth).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_tokens`, and for a `refill` below a thousandth or not a
    /// number; [`ConfigError::TooLarge`] for a `refill` above `max_tokens`.
    pub fn new(max_tokens: u32, refill: f64) -> Result<Self, ConfigError> {
        check_count("max_tokens", max_tokens as usize)?;
        if refill.is_nan() || refill < 0.001 {
            return Err(ConfigError::Zero { field: "refill" });
        }
        if refill > f64::from(max_tokens) {
            let (field, max) = ("refill", max_tokens.to_string());
            return Err(ConfigError::TooLarge { field, max });
        }
        let max = u64::from(max_tokens) * TOKEN;
        Ok(Self {
            max,
            refill: (refill * TOKEN as f64).round() as u64,
            tokens: AtomicU64::new(max),
        })
    }

    /// Whole tokens that are left.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed) / TOKEN
    }

    pub(super) fn succeeded(&self) {
        self.update(|tokens| (tokens + self.refill).min(self.max));
    }

    /// Takes a token and says whether a retry is allowed.
    pub(super) fn failed(&self) -> bool {
        self.update(|tokens| tokens.saturating_sub(TOKEN)) > self.max / 2
    }

    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        loop {
            let changed = change(tokens);
            if changed == tokens {
                return tokens;
            }
            match self.tokens.compare_exchange_weak(
                tokens,
                changed,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return changed,
                Err(current) => tokens = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stop_at_half_of_the_tokens_and_return_with_successes() {
        let budget = RetryBudget::new(4, 0.5).unwrap();
        assert_eq!([budget.failed(), budget.failed()], [true, false]);
        assert_eq!(budget.tokens(), 2);
        for _ in 0..3 {
            budget.succeeded();
        }
        assert_eq!(budget.tokens(), 3);
        assert_eq!([budget.failed(), budget.failed()], [true, false]);
        for _ in 0..100 {
            budget.succeeded();
        }
        assert_eq!(budget.tokens(), 4);
    }

    #[test]
    fn senseless_budgets_are_refused_by_field() {
        assert_eq!(RetryBudget::new(0, 0.1).unwrap_err().field(), "max_tokens");
        for refill in [0.0, -1.0, f64::NAN, 5.0, f64::INFINITY] {
            assert_eq!(RetryBudget::new(4, refill).unwrap_err().field(), "refill");
        }
    }
}
