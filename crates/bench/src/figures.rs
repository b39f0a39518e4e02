//! Figures that are no times of an operation: measured once, one contender after the other.

use std::fmt::Write;

/// What came out of a case, line by line, as it stands in docs/benchmarks.md.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    lines: Vec<Line>,
    note: &'static str,
}

#[derive(Debug)]
struct Line {
    contender: String,
    what: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Figures {
    /// Adds a figure.
    pub(crate) fn add(
        &mut self,
        contender: &str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> &mut Self {
        self.lines.push(Line {
            contender: contender.to_owned(),
            what: what.into(),
            value,
            unit,
            goal: None,
        });
        self
    }

    /// Sets the goal of the figure that was added last.
    pub(crate) fn goal(&mut self, goal: Goal) {
        if let Some(line) = self.lines.last_mut() {
            line.goal = Some(goal);
        }
    }

    /// Adds what a reader has to know.
    pub(crate) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    pub(crate) fn table(&self, name: &str) -> String {
        let mut text =
            format!("### {name}\n\n| contender | figure |  | goal |\n|---|---|---:|---|\n");
        for line in &self.lines {
            let (contender, what, value) = (&line.contender, &line.what, line.value());
            let goal = match line.goal {
                Some(goal) if goal.is_met(line.value) => format!("{}: met", goal.text(line.unit)),
                Some(goal) => format!("{}: **missed**", goal.text(line.unit)),
                None => String::new(),
            };
            // Writing to a string cannot fail.
            _ = writeln!(text, "| {contender} | {what} | {value} | {goal} |");
        }
        if !self.note.is_empty() {
            _ = writeln!(text, "\n{}", self.note);
        }
        text
    }

    /// A line for each goal that is missed.
    pub(crate) fn missed(&self, name: &str) -> String {
        let missed = self.lines.iter().filter_map(|line| {
            let goal = line.goal.filter(|goal| !goal.is_met(line.value))?;
            let (what, value, goal) = (&line.what, line.value(), goal.text(line.unit));
            Some(format!("- {name}: {what} {value}, not {goal}\n"))
        });
        missed.collect()
    }
}

impl Line {
    fn value(&self) -> String {
        with_unit(self.value, self.unit)
    }
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {}", with_unit(most, unit)),
            Self::AtLeast(least) => format!("≥ {}", with_unit(least, unit)),
        }
    }
}

/// Two digits at least, without zeros at the end of a fraction.
fn with_unit(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        value if value < 0.1 => 3,
        value if value < 10.0 => 1,
        _ => 0,
    };
    let number = if digits == 0 {
        crate::run::grouped(value.round() as u64)
    } else {
        let text = format!("{value:.digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    format!("{number} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_met_or_missed_in_either_direction() {
        let mut figures = Figures::default();
        figures.add("ours", "runs", 12_345.6, "/s");
        figures.goal(Goal::AtLeast(10_000.0));
        figures.add("ours", "idle", 0.07, "%");
        figures.goal(Goal::AtMost(0.05));
        figures.add("peer", "idle", 0.4, "%");
        assert_eq!(
            figures.missed("a case"),
            "- a case: idle 0.07 %, not ≤ 0.05 %\n"
        );
        assert_eq!(
            figures.note("Mind this.").table("a case"),
            "### a case\n\n| contender | figure |  | goal |\n|---|---|---:|---|\n\
             | ours | runs | 12 346 /s | ≥ 10 000 /s: met |\n\
             | ours | idle | 0.07 % | ≤ 0.05 %: **missed** |\n\
             | peer | idle | 0.4 % |  |\n\nMind this.\n"
        );
    }
}
