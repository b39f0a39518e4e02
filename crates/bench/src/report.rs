//! Outcomes as Markdown, as they stand in docs/benchmarks.md.

use std::fmt::Write;

use crate::{
    harness::{Measured, Outcome},
    run::grouped,
};

/// A heading, a table and what a reader has to know. Ratios below 1 are won, those above are lost.
pub(crate) fn table(name: &str, outcome: &Outcome) -> String {
    let mut text = format!(
        "### {name}\n\n| contender | ns an operation | ours ÷ it (p10–p90) | goal |\n\
         |---|---:|---:|---|\n"
    );
    for (index, contender) in outcome.contenders.iter().enumerate() {
        let ratio = contender.ours_by_it;
        let ratio = match index {
            0 => "–".to_owned(),
            _ => format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.p10, ratio.p90),
        };
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "| {} | {} | {ratio} | {} |",
            contender.name,
            nanos(contender.nanos),
            goal(contender),
        );
    }
    if !outcome.note.is_empty() {
        _ = writeln!(text, "\n{}", outcome.note);
    }
    text
}

/// A heading and a table of allocations an operation.
pub(crate) fn allocations(name: &str, counted: &[(String, f64)]) -> String {
    let mut text = format!("### {name}\n\n| contender | allocations an operation |\n|---|---:|\n");
    for (contender, count) in counted {
        _ = writeln!(text, "| {contender} | {count:.1} |");
    }
    text
}

/// A line for each goal that is missed.
pub(crate) fn missed(name: &str, outcome: &Outcome) -> String {
    let missed = outcome
        .contenders
        .iter()
        .filter(|it| it.is_met() == Some(false));
    let line = |it: &Measured| {
        if let Some(within) = it.within {
            return format!("- {name}: {} ns, not {within}\n", nanos(it.nanos));
        }
        let (ratio, at_most) = (it.ours_by_it.median, it.at_most.unwrap_or_default());
        format!("- {name}: {ratio:.2} of {}, not {at_most}\n", it.name)
    };
    missed.map(line).collect()
}

/// Two digits at least, and groups of three where there are many.
fn nanos(nanos: f64) -> String {
    if nanos < 10.0 {
        format!("{nanos:.1}")
    } else {
        grouped(nanos.round() as u64)
    }
}

fn goal(contender: &Measured) -> String {
    let within = contender.within.map(|within| format!("≤ {within} ns"));
    let ratio = contender.at_most.map(|ratio| format!("≤ {ratio}"));
    match (within.or(ratio), contender.is_met()) {
        (Some(goal), Some(true)) => goal + ": met",
        (Some(goal), _) => goal + ": **missed**",
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Spread;

    #[test]
    fn ours_has_no_ratio_and_peers_have_theirs_with_their_goals() {
        let measured = |name: &str, nanos, median, at_most| Measured {
            name: name.into(),
            nanos,
            ours_by_it: Spread {
                p10: median - 0.1,
                median,
                p90: median + 0.1,
            },
            at_most,
            within: None,
        };
        let ours = measured("ours", 50.4, 1.0, None);
        let contenders = vec![
            Measured {
                within: Some(50.0),
                ..ours
            },
            measured("peer", 100.0, 0.5, Some(0.7)),
            measured("other", 5.04, 10.0, Some(1.0)),
        ];
        let note = "Mind this.";
        let outcome = Outcome { note, contenders };
        assert_eq!(
            missed("a case", &outcome),
            "- a case: 50 ns, not 50\n- a case: 10.00 of other, not 1\n"
        );
        assert_eq!(
            table("a case", &outcome),
            "### a case\n\n| contender | ns an operation | ours ÷ it (p10–p90) | goal |\n\
             |---|---:|---:|---|\n| ours | 50 | – | ≤ 50 ns: **missed** |\n\
             | peer | 100 | 0.50 (0.40–0.60) | ≤ 0.7: met |\n\
             | other | 5.0 | 10.00 (9.90–10.10) | ≤ 1: **missed** |\n\nMind this.\n"
        );
    }
}
