use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// Cuts a pause by up to a half, by a hash of who pauses and how often it did: owners that were
/// woken together do not stay together, and a run can be replayed.
pub(crate) fn spread(pause: Duration, owner: &str, attempt: u64) -> Duration {
    const STEPS: u32 = 1 << 16;
    let mut hasher = DefaultHasher::new();
    (owner, attempt).hash(&mut hasher);
    let step = (hasher.finish() % u64::from(STEPS)) as u32;
    // Divided first, so that the longest pause does not overflow.
    pause / 2 + pause / 2 / STEPS * step
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn pause_stays_between_half_and_whole() {
        let mut seen: Vec<_> = (0..1_000).map(|n| spread(SEC, "a", n)).collect();
        assert!(seen.iter().all(|pause| (SEC / 2..SEC).contains(pause)));
        seen.sort_unstable();
        assert!(seen[100] < SEC * 6 / 10 && seen[900] > SEC * 9 / 10);
    }

    #[test]
    fn longest_pause_does_not_overflow() {
        assert!(spread(Duration::MAX, "a", 1) >= Duration::MAX / 2);
    }

    #[test]
    fn owners_differ_and_runs_repeat() {
        assert_ne!(spread(SEC, "a", 1), spread(SEC, "b", 1));
        assert_eq!(spread(SEC, "a", 1), spread(SEC, "a", 1));
    }
}
