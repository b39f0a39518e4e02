use std::time::Duration;

/// Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Debug)]
pub(crate) struct Backoff {
    random: u64,
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Processes with different seeds retry at different times.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            failures: 0,
        }
    }

    /// Notes a failure; returns how long to wait before the next attempt.
    pub(crate) fn fail(&mut self) -> Duration {
        let ceiling = Self::FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        let nanos = self.next_random() % (ceiling.as_nanos() as u64 + 1);
        Duration::from_nanos(nanos)
    }

    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_stay_bounded() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<Duration> = (0..40).map(|_| backoff.fail()).collect();
        assert!(waits[0] <= Backoff::FIRST);
        assert!(waits.iter().all(|wait| *wait <= Backoff::LONGEST));
        assert!(waits[20..].iter().any(|wait| *wait > Backoff::LONGEST / 2));
        assert_ne!(
            waits,
            Vec::from_iter((0..40).map(|_| Backoff::new(8).fail()))
        );

        backoff.succeed();
        assert!(backoff.fail() <= Backoff::FIRST);
    }
}
