use std::time::Duration;

use super::random::SplitMix64;

/// How delays are spread, so that those who failed together do not come back together (Brooker,
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// After failure n, uniform between zero and min(`max_delay`, `initial_delay` · 2ⁿ⁻¹): the
    /// least work for the server.
    #[default]
    Full,
    /// Uniform between `initial_delay` and three times the delay before, at most `max_delay`:
    /// never shorter than `initial_delay`, and it grows by chance.
    Decorrelated,
}

/// How many draws of decorrelated jitter one delay takes at most: more change nothing that shows.
const MAX_DRAWS: u32 = 64;

/// The delays of one run.
#[derive(Debug)]
pub(super) struct Delays {
    jitter: Jitter,
    /// In nanoseconds, as is what follows: no duration that a builder accepts has more of them
    /// than a `u64` can hold, nor has three times the longest.
    initial: u64,
    max: u64,
    previous: u64,
}

impl Delays {
    pub(super) fn new(jitter: Jitter, initial: Duration, max: Duration) -> Self {
        let initial = nanos(initial);
        Self {
            jitter,
            initial,
            max: nanos(max),
            previous: initial,
        }
    }

    /// The delay after so many failures.
    pub(super) fn draw(&mut self, failures: u32, random: &SplitMix64) -> Duration {
        let drawn = match self.jitter {
            Jitter::Full => random.between(0, self.ceiling(failures)),
            Jitter::Decorrelated => {
                let most = self.previous.saturating_mul(3);
                self.previous = random.between(self.initial, most).min(self.max);
                self.previous
            }
        };
        Duration::from_nanos(drawn)
    }

    /// The delay after so many failures, where those before it were not drawn.
    pub(super) fn draw_alone(&mut self, failures: u32, random: &SplitMix64) -> Duration {
        if self.jitter == Jitter::Decorrelated {
            for before in 1..failures.min(MAX_DRAWS) {
                self.draw(before, random);
            }
        }
        self.draw(failures, random)
    }

    /// What a delay doubles to, at most.
    fn ceiling(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(63);
        let doubled = u128::from(self.initial) << doublings;
        u64::try_from(doubled).map_or(self.max, |doubled| doubled.min(self.max))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_DURATION;

    const MILLI: Duration = Duration::from_millis(1);

    /// The largest distance between the share of the samples below a point and what a uniform
    /// distribution from zero to one has there (Kolmogorov and Smirnov), times √n.
    fn distance_from_uniform(mut samples: Vec<f64>) -> f64 {
        samples.sort_by(f64::total_cmp);
        let count = samples.len() as f64;
        let distances = samples.iter().enumerate().map(|(below, sample)| {
            let below = below as f64;
            f64::max(sample - below / count, (below + 1.0) / count - sample)
        });
        distances.fold(0.0, f64::max) * count.sqrt()
    }

    /// Exceeded by a uniform sample in one of a hundred thousand cases.
    const CRITICAL: f64 = 2.47;

    #[test]
    fn full_jitter_is_uniform_from_zero_to_a_ceiling_that_doubles() {
        let random = SplitMix64::new(20);
        for (failures, ceiling) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000)] {
            let mut delays = Delays::new(Jitter::Full, 100 * MILLI, 1_000 * MILLI);
            let ceiling = ceiling * MILLI;
            let drawn = (0..5_000).map(|_| delays.draw(failures, &random));
            let scaled: Vec<_> = drawn.map(|delay| delay.div_duration_f64(ceiling)).collect();
            assert!(scaled.iter().all(|share| *share <= 1.0));
            let distance = distance_from_uniform(scaled);
            assert!(distance < CRITICAL, "{distance} after {failures} failures");
        }
    }

    #[test]
    fn decorrelated_jitter_is_uniform_between_the_first_delay_and_thrice_the_one_before() {
        let random = SplitMix64::new(15);
        let (initial, max) = (10 * MILLI, 60_000_000 * MILLI);
        let mut scaled = Vec::new();
        for _ in 0..1_000 {
            let mut delays = Delays::new(Jitter::Decorrelated, initial, max);
            let mut previous = initial;
            for failures in 1..=5 {
                let delay = delays.draw(failures, &random);
                assert!(initial <= delay && delay <= 3 * previous, "{delay:?}");
                scaled.push((delay - initial).div_duration_f64(3 * previous - initial));
                previous = delay;
            }
        }
        let distance = distance_from_uniform(scaled);
        assert!(distance < CRITICAL, "{distance}");
    }

    #[test]
    fn decorrelated_jitter_stops_at_the_longest_delay() {
        let random = SplitMix64::new(3);
        let mut delays = Delays::new(Jitter::Decorrelated, 100 * MILLI, 150 * MILLI);
        let drawn: Vec<_> = (1..200).map(|n| delays.draw(n, &random)).collect();
        assert!(drawn.iter().all(|delay| *delay <= 150 * MILLI));
        assert!(drawn.contains(&(150 * MILLI)));
        assert!(drawn.iter().any(|delay| *delay < 125 * MILLI));
    }

    #[test]
    fn delay_drawn_alone_is_spread_as_the_one_of_a_run() {
        for jitter in [Jitter::Full, Jitter::Decorrelated] {
            let random = SplitMix64::new(11);
            let delays = || Delays::new(jitter, 10 * MILLI, 10_000 * MILLI);
            let mut alone = Vec::new();
            let mut in_a_run = Vec::new();
            for _ in 0..2_000 {
                alone.push(delays().draw_alone(4, &random));
                let mut run = delays();
                in_a_run.extend((1..=4).map(|n| run.draw(n, &random)).last());
            }
            alone.sort_unstable();
            in_a_run.sort_unstable();
            for decile in (200..2_000).step_by(200) {
                let ratio = alone[decile].div_duration_f64(in_a_run[decile]);
                assert!(
                    (0.7..1.4).contains(&ratio),
                    "{jitter:?} at {decile}: {ratio}"
                );
            }
        }
    }

    #[test]
    fn other_distributions_are_told_apart() {
        let random = SplitMix64::new(20);
        let mut delays = Delays::new(Jitter::Full, 1_000 * MILLI, 1_000 * MILLI);
        let mut draw = || delays.draw(1, &random).as_secs_f64();
        let equal_jitter = (0..5_000).map(|_| 0.5 + draw() / 2.0).collect();
        assert!(distance_from_uniform(equal_jitter) > CRITICAL);
        let of_two = (0..5_000).map(|_| f64::midpoint(draw(), draw())).collect();
        assert!(distance_from_uniform(of_two) > CRITICAL);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let random = SplitMix64::new(9);
        for jitter in [Jitter::Full, Jitter::Decorrelated] {
            for initial in [Duration::from_nanos(1), MAX_DURATION] {
                let mut delays = Delays::new(jitter, initial, MAX_DURATION);
                for failures in (0..200).chain([u32::MAX - 1, u32::MAX]) {
                    assert!(delays.draw(failures, &random) <= MAX_DURATION);
                    assert!(delays.draw_alone(failures, &random) <= MAX_DURATION);
                }
            }
        }
        let tiny = Delays::new(Jitter::Full, Duration::from_nanos(1), MAX_DURATION);
        assert_eq!(tiny.ceiling(41), 1 << 40, "doubling goes on to `max_delay`");
        assert_eq!(tiny.ceiling(u32::MAX), nanos(MAX_DURATION));
    }
}
