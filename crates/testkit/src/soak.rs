use std::{fmt::Display, str::FromStr, time::Duration};

const SECONDS: &str = "STEADFAST_SOAK_SECONDS";
const SEED: &str = "STEADFAST_SEED";

/// How long a test that loops over faults goes on: `STEADFAST_SOAK_SECONDS`, or ten seconds.
///
/// # Panics
///
/// If the variable is set to anything but a whole number of seconds.
#[must_use]
pub fn soak_time() -> Duration {
    Duration::from_secs(variable(SECONDS).unwrap_or(10))
}

/// The seed of a test's [`Random`]: `STEADFAST_SEED`, or 1; printed, so that a failure can be
/// replayed.
///
/// # Panics
///
/// If the variable is set to anything but a `u64`.
#[must_use]
pub fn seed() -> u64 {
    let seed = variable(SEED).unwrap_or(1);
    println!("replay with {SEED}={seed}");
    seed
}

/// A small generator of numbers that are the same for the same seed: `SplitMix64`.
///
/// For choosing faults and delays, not for secrets.
///
/// # Examples
///
/// ```
/// use steadfast_testkit::Random;
///
/// let mut random = Random::new(7);
/// let delay = random.below(50);
/// assert!(delay < 50);
/// assert!(["kill", "pause"].contains(random.pick(&["kill", "pause"])));
/// assert_eq!(Random::new(7).below(50), delay);
/// ```
///
/// From: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from 0 up to `n`, without `n`. For small `n` each is as likely as the others.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no number is below 0");
        self.next() % n
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).expect("an index of a slice")]
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn variable<T>(name: &str) -> Option<T>
where
    T: FromStr<Err: Display>,
{
    let text = std::env::var_os(name)?;
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => panic!("{name}={text} is not a number: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        // The first outputs of the reference implementation for the seed 1234567.
        let mut random = Random::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn every_choice_is_picked() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 4];
        for _ in 0..4_000 {
            seen[*random.pick(&[0_usize, 1, 2, 3])] += 1;
        }
        assert!(
            seen.iter().all(|times| (800..1_200).contains(times)),
            "{seen:?}"
        );
    }
}
