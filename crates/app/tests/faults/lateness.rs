//! How late things were, for people to read.

use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

/// The upper bounds of the bars, in milliseconds.
const BOUNDS: [i64; 11] = [
    50, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000,
];

/// The characters of a bar that stands for all.
const WIDTH: usize = 50;

/// By how much things were later than they should have been.
pub(crate) struct Lateness {
    title: &'static str,
    millis: Vec<i64>,
}

impl Lateness {
    pub(crate) fn new(
        title: &'static str,
        due: Timestamp,
        times: impl Iterator<Item = Timestamp>,
    ) -> Self {
        let late = |time: Timestamp| time.as_millisecond() - due.as_millisecond();
        let mut millis: Vec<_> = times.map(late).collect();
        millis.sort_unstable();
        Self { title, millis }
    }

    /// The earliest is later than the instant itself.
    pub(crate) fn nothing_was_early(&self) -> bool {
        self.millis.first().is_none_or(|first| *first >= 0)
    }

    fn percentile(&self, percent: usize) -> i64 {
        let last = self.millis.len() - 1;
        self.millis[last * percent / 100]
    }
}

impl Display for Lateness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        writeln!(
            f,
            "{} ({}): p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, max {max} ms",
            self.title,
            self.millis.len(),
        )?;
        let mut from = 0;
        for bound in BOUNDS {
            let to = self.millis.partition_point(|late| *late <= bound);
            let bar = "#".repeat(((to - from) * WIDTH).div_ceil(self.millis.len()));
            writeln!(f, "  ≤ {bound:>6} ms {:>6} {bar}", to - from)?;
            from = to;
            if to == self.millis.len() {
                break;
            }
        }
        Ok(())
    }
}
