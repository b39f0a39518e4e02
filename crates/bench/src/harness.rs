//! Measuring contenders in turn.

use std::{fmt, time::Duration};

type Sampler = Box<dyn FnMut(u64) -> Duration>;

/// One question, and those who answer it.
#[derive(Debug)]
pub(crate) struct Case {
    note: &'static str,
    sampling: Sampling,
    /// In the order in which they were added: ours first.
    contenders: Vec<Contender>,
}

/// Somebody who does the operation in question.
pub(crate) struct Contender {
    name: String,
    sampler: Sampler,
    /// Whether others than the calling thread take part.
    is_threaded: bool,
    /// How many operations a sample has, if it is not what fills it.
    operations: Option<u64>,
    at_most: Option<f64>,
    within: Option<f64>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    /// How long one sample takes, about.
    sample: Duration,
    /// How often each contender is sampled.
    rounds: usize,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) note: &'static str,
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
    /// What that should be at most.
    pub(crate) at_most: Option<f64>,
    /// How many nanoseconds an operation should take at most.
    pub(crate) within: Option<f64>,
}

/// The middle of a set of figures, and where most of them lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Sampling {
    /// For what one thread does: long against the clock's resolution, short against the slices in
    /// which the system gives the processor to somebody else, so that most samples are whole.
    pub(crate) const SHORT: Self = Self {
        sample: Duration::from_micros(500),
        rounds: 601,
    };

    /// For what several threads do: long against their start and end.
    pub(crate) const LONG: Self = Self {
        sample: Duration::from_millis(10),
        rounds: 81,
    };

    /// For what takes so long that a sample is one operation.
    pub(crate) const SINGLE: Self = Self {
        sample: Duration::ZERO,
        rounds: 41,
    };

    /// For what takes tens of milliseconds.
    pub(crate) const FEW: Self = Self {
        sample: Duration::ZERO,
        rounds: 9,
    };
}

impl Case {
    /// A case with our own contender.
    pub(crate) fn new(ours: Contender) -> Self {
        Self {
            note: "",
            sampling: Sampling::SHORT,
            contenders: vec![ours],
        }
    }

    /// Adds a contender.
    pub(crate) fn against(mut self, peer: Contender) -> Self {
        self.contenders.push(peer);
        self
    }

    /// Says how much is measured.
    pub(crate) fn sampled(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Adds what a reader has to know.
    pub(crate) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// The allocations an operation of each contender in the steady state, as far as they can be
    /// counted: those of other threads cannot.
    pub(crate) fn allocations(self) -> Vec<(String, f64)> {
        const OPERATIONS: u64 = 20_000;
        let contenders = self.contenders.into_iter();
        let countable = contenders.filter(|it| !it.is_threaded && it.operations.is_none());
        let counted = countable.map(|mut contender| {
            contender.sample(OPERATIONS);
            let count = count_allocations(|| {
                contender.sample(OPERATIONS);
            });
            (contender.name, count as f64 / OPERATIONS as f64)
        });
        counted.collect()
    }

    /// Samples every contender once a round, each round starting with another one.
    pub(crate) fn measure(mut self) -> Outcome {
        let Sampling { sample, rounds } = self.sampling;
        let operations: Vec<_> = self
            .contenders
            .iter_mut()
            .map(|contender| contender.calibrate(sample))
            .collect();
        let count = self.contenders.len();
        let mut nanos = vec![Vec::with_capacity(rounds); count];
        for round in 0..rounds {
            for turn in 0..count {
                let index = (round + turn) % count;
                let took = self.contenders[index].sample(operations[index]);
                nanos[index].push(took.as_secs_f64() * 1e9 / operations[index] as f64);
            }
        }
        self.outcome(&nanos)
    }

    fn outcome(self, nanos: &[Vec<f64>]) -> Outcome {
        let measured = self.contenders.into_iter().zip(nanos).map(|(it, own)| {
            let ratios = nanos[0].iter().zip(own).map(|(ours, its)| ours / its);
            Measured {
                name: it.name,
                nanos: Spread::of(own.clone()).median,
                ours_by_it: Spread::of(ratios.collect()),
                at_most: it.at_most,
                within: it.within,
            }
        });
        Outcome {
            note: self.note,
            contenders: measured.collect(),
        }
    }
}

impl Contender {
    pub(crate) fn new(name: impl Into<String>, sampler: Sampler) -> Self {
        Self {
            name: name.into(),
            sampler,
            is_threaded: false,
            operations: None,
            at_most: None,
            within: None,
        }
    }

    /// Says that others than the calling thread take part.
    pub(crate) fn threaded(self) -> Self {
        let is_threaded = true;
        Self {
            is_threaded,
            ..self
        }
    }

    /// Gives every sample this many operations.
    pub(crate) fn exactly(self, operations: u64) -> Self {
        let operations = Some(operations);
        Self { operations, ..self }
    }

    /// Sets the goal: what our time divided by its time should be at most.
    pub(crate) fn at_most(self, ratio: f64) -> Self {
        let at_most = Some(ratio);
        Self { at_most, ..self }
    }

    /// Sets the goal: how many nanoseconds an operation should take at most.
    pub(crate) fn within(self, nanos: f64) -> Self {
        let within = Some(nanos);
        Self { within, ..self }
    }

    /// Runs this many operations and says how long they took.
    pub(crate) fn sample(&mut self, operations: u64) -> Duration {
        (self.sampler)(operations)
    }

    /// Warms the contender up and finds how many operations a sample has.
    fn calibrate(&mut self, sample: Duration) -> u64 {
        if let Some(operations) = self.operations {
            self.sample(operations);
            return operations;
        }
        let mut operations = 100;
        loop {
            let samples = (0..5).map(|_| self.sample(operations));
            let fastest = samples.min().unwrap_or_default();
            if fastest >= sample {
                let share = sample.as_secs_f64() / fastest.as_secs_f64();
                return ((operations as f64 * share) as u64).max(1);
            }
            operations *= 2;
        }
    }
}

impl Measured {
    /// Whether the goal is met, if there is one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        if let Some(within) = self.within {
            return Some(self.nanos <= within);
        }
        Some(self.ours_by_it.median <= self.at_most?)
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

#[cfg(feature = "allocations")]
fn count_allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

/// Without the feature there is nobody who counts.
#[cfg(not(feature = "allocations"))]
fn count_allocations(run: impl FnOnce()) -> u64 {
    run();
    0
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .field("is_threaded", &self.is_threaded)
            .field("operations", &self.operations)
            .field("at_most", &self.at_most)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(nanos: u64) -> Contender {
        let sampler = move |operations| Duration::from_nanos(nanos * operations);
        Contender::new(format!("{nanos} ns"), Box::new(sampler))
    }

    #[test]
    fn ratio_is_ours_divided_by_the_peers() {
        let outcome = Case::new(taking(50)).against(taking(100)).measure();
        let [ours, peer] = &outcome.contenders[..] else {
            panic!("{outcome:?}")
        };
        assert_eq!((ours.nanos.round(), peer.nanos.round()), (50.0, 100.0));
        assert!((ours.ours_by_it.median - 1.0).abs() < 1e-6, "{outcome:?}");
        assert!((peer.ours_by_it.median - 0.5).abs() < 1e-6, "{outcome:?}");
    }

    #[test]
    fn goal_is_met_up_to_its_ratio() {
        let case = Case::new(taking(50))
            .against(taking(100).at_most(0.51))
            .against(taking(100).at_most(0.49))
            .against(taking(100));
        let outcome = case.measure();
        let met: Vec<_> = outcome.contenders.iter().map(Measured::is_met).collect();
        assert_eq!(met, [None, Some(true), Some(false), None]);
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
            let took = nanos * taking(nanos).calibrate(Duration::from_millis(1));
            assert!((900_000..=1_000_000).contains(&took), "{took}");
        }
    }

    #[test]
    fn exact_number_of_operations_is_not_calibrated() {
        let operations = taking(1).exactly(7).calibrate(Duration::from_millis(1));
        assert_eq!(operations, 7);
    }
}
