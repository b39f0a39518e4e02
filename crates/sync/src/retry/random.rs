use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::rt::atomic::{AtomicU64, Ordering};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): its
/// state is a counter, so one atomic addition makes it shareable. Good enough to spread retries,
/// not for secrets.
#[derive(Debug)]
pub(super) struct SplitMix64(AtomicU64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A seed that differs between generators and processes.
    pub(super) fn random_seed() -> u64 {
        RandomState::new().hash_one(0_u8)
    }

    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration from zero up to and including `max`, uniform to within a nanosecond.
    pub(super) fn up_to(&self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        let scaled = u128::from(self.next()) * (u128::from(max) + 1);
        Duration::from_nanos((scaled >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_matches_the_published_generator() {
        let random = SplitMix64::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next(), random.next()], expected);
    }

    #[test]
    fn drawn_durations_fill_their_range_and_stay_in_it() {
        let random = SplitMix64::new(7);
        let max = Duration::from_secs(1);
        let drawn: Vec<_> = (0..1_000).map(|_| random.up_to(max)).collect();
        assert!(drawn.iter().all(|delay| *delay <= max));
        assert!(drawn.iter().any(|delay| *delay < max / 20));
        assert!(drawn.iter().any(|delay| *delay > max / 20 * 19));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
}
