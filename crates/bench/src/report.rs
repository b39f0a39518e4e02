//! Outcomes as Markdown.

use std::fmt::Write;

use crate::harness::Outcome;

/// A heading and a table. Ratios below 1 are won, those above 1 are lost.
pub(crate) fn table(outcome: &Outcome) -> String {
    let mut text = format!(
        "### {}\n\n| contender | ns an operation | ours ÷ it (p10–p90) |\n|---|---:|---:|\n",
        outcome.name
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
            "| {} | {:.0} | {ratio} |",
            contender.name, contender.nanos
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Measured, Spread};

    #[test]
    fn ours_has_no_ratio_and_peers_have_theirs() {
        let measured = |name: &str, nanos, median| Measured {
            name: name.into(),
            nanos,
            ours_by_it: Spread {
                p10: median - 0.1,
                median,
                p90: median + 0.1,
            },
        };
        let contenders = vec![measured("ours", 50.4, 1.0), measured("peer", 100.0, 0.5)];
        assert_eq!(
            table(&Outcome {
                name: "a case",
                contenders
            }),
            "### a case\n\n| contender | ns an operation | ours ÷ it (p10–p90) |\n\
             |---|---:|---:|\n| ours | 50 | – |\n| peer | 100 | 0.50 (0.40–0.60) |\n"
        );
    }
}
