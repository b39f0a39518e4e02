//! Measuring contenders in turn.

use std::{fmt, time::Duration};

/// How long one sample takes, about: long against the clock's resolution, short against the slices
/// in which the system gives the processor to somebody else, so that most samples are whole.
const SAMPLE: Duration = Duration::from_millis(1);

/// How often each contender is sampled.
const ROUNDS: usize = 401;

/// Runs this many operations and says how long they took.
pub(crate) type Sampler = Box<dyn FnMut(u64) -> Duration>;

/// One question, and those who answer it.
pub(crate) struct Case {
    name: &'static str,
    contenders: Vec<(String, Sampler)>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// In the order in which they were added: ours first.
    pub(crate) contenders: Vec<Measured>,
}

/// What came out for one contender.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// Nanoseconds an operation, median over the rounds.
    pub(crate) nanos: f64,
    /// Our time divided by this contender's, within each round.
    pub(crate) ours_by_it: Spread,
}

/// The middle of a set of figures, and where most of them lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Case {
    /// A case with our own contender.
    pub(crate) fn new(name: &'static str, ours: (String, Sampler)) -> Self {
        Self {
            name,
            contenders: vec![ours],
        }
    }

    /// Adds a contender.
    pub(crate) fn against(mut self, peer: (String, Sampler)) -> Self {
        self.contenders.push(peer);
        self
    }

    /// Samples every contender once a round, each round starting with another one.
    pub(crate) fn measure(mut self) -> Outcome {
        let operations: Vec<_> = self
            .contenders
            .iter_mut()
            .map(|c| calibrate(&mut c.1))
            .collect();
        let count = self.contenders.len();
        let mut nanos = vec![Vec::with_capacity(ROUNDS); count];
        for round in 0..ROUNDS {
            for turn in 0..count {
                let index = (round + turn) % count;
                let took = (self.contenders[index].1)(operations[index]);
                nanos[index].push(took.as_secs_f64() * 1e9 / operations[index] as f64);
            }
        }
        self.outcome(&nanos)
    }

    fn outcome(&self, nanos: &[Vec<f64>]) -> Outcome {
        let measured = self.contenders.iter().zip(nanos).map(|((name, _), own)| {
            let ratios = nanos[0]
                .iter()
                .zip(own)
                .map(|(ours, its)| ours / its)
                .collect();
            Measured {
                name: name.clone(),
                nanos: Spread::of(own.clone()).median,
                ours_by_it: Spread::of(ratios),
            }
        });
        Outcome {
            name: self.name,
            contenders: measured.collect(),
        }
    }
}

impl Spread {
    /// The spread of figures of which there is at least one.
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| figures[(share * (figures.len() - 1) as f64).round() as usize];
        Self {
            p10: at(0.1),
            median: at(0.5),
            p90: at(0.9),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.contenders.iter().map(|(name, _)| name).collect();
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("contenders", &names)
            .finish()
    }
}

/// Warms the contender up and finds how many operations fill a sample.
fn calibrate(sampler: &mut Sampler) -> u64 {
    let mut operations = 100;
    loop {
        let fastest = (0..5)
            .map(|_| sampler(operations))
            .min()
            .unwrap_or_default();
        if fastest >= SAMPLE {
            let share = SAMPLE.as_secs_f64() / fastest.as_secs_f64();
            return ((operations as f64 * share) as u64).max(1);
        }
        operations *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(nanos: u64) -> Sampler {
        Box::new(move |operations| Duration::from_nanos(nanos * operations))
    }

    #[test]
    fn ratio_is_ours_divided_by_the_peers() {
        let case =
            Case::new("case", ("ours".into(), taking(50))).against(("peer".into(), taking(100)));
        let outcome = case.measure();
        let [ours, peer] = &outcome.contenders[..] else {
            panic!("{outcome:?}")
        };
        assert_eq!((ours.nanos.round(), peer.nanos.round()), (50.0, 100.0));
        assert!((ours.ours_by_it.median - 1.0).abs() < 1e-6, "{outcome:?}");
        assert!((peer.ours_by_it.median - 0.5).abs() < 1e-6, "{outcome:?}");
    }

    #[test]
    fn spread_takes_figures_by_rank() {
        let spread = Spread::of((0..=10).rev().map(f64::from).collect());
        assert_eq!(
            spread,
            Spread {
                p10: 1.0,
                median: 5.0,
                p90: 9.0
            }
        );
    }

    #[test]
    fn sample_is_filled_whatever_an_operation_costs() {
        for nanos in [1, 1_000, 100_000] {
            let took = nanos * calibrate(&mut taking(nanos));
            assert!((900_000..=1_000_000).contains(&took), "{took}");
        }
    }
}
