use std::hash::{BuildHasher, RandomState};

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

    /// A number from `least` up to and including `most`, uniform but for one part in 2⁶⁴ of the
    /// range; `least` if `most` is below it.
    pub(super) fn between(&self, least: u64, most: u64) -> u64 {
        let range = u128::from(most.saturating_sub(least)) + 1;
        let scaled = u128::from(self.next()) * range;
        least + (scaled >> 64) as u64
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
    fn drawn_numbers_reach_both_ends_of_their_range_and_stay_in_it() {
        let random = SplitMix64::new(7);
        let drawn: Vec<_> = (0..1_000).map(|_| random.between(3, 9)).collect();
        assert!(drawn.iter().all(|number| (3..=9).contains(number)));
        assert!(drawn.contains(&3) && drawn.contains(&9));
        assert_eq!(random.between(5, 5), 5);
        assert_eq!(random.between(5, 4), 5);
        let _ = random.between(0, u64::MAX);
    }
}
