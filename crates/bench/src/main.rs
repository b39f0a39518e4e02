//! Benchmarks of Steadfast against its peers: `cargo xtask bench [name [filter]]`.
//!
//! All contenders of a case run in one process, in turn, in an order that rotates; what is
//! reported is the median over the rounds, and the median of the ratios within each round, so that
//! a machine that slows down for a while slows all of them down alike. The peers are dependencies
//! of this crate only. With the feature `allocations` it counts those instead.

mod figures;
mod harness;
mod init;
mod machine;
mod report;
mod run;
mod scheduler;
mod sync;

use std::{env, error::Error, process::ExitCode};

use crate::{figures::Figures, harness::Case};

/// The name of a case, which is the heading of its table, and what makes it.
type NamedCase = (&'static str, Measure);

type Cases = &'static [NamedCase];

/// How a case is measured.
#[derive(Clone, Copy)]
enum Measure {
    /// The time of an operation, of contenders in turn.
    Times(fn() -> Result<Case, Box<dyn Error>>),
    /// Anything else, of contenders one after the other.
    Once(fn() -> Result<Figures, Box<dyn Error>>),
}

const BENCHMARKS: [(&str, Cases); 3] = [
    ("sync", sync::CASES),
    ("init", init::CASES),
    ("scheduler", scheduler::CASES),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["--list"] => {
            list();
            Ok(())
        }
        [] => run(|_| true, ""),
        ["--child", role, ref arguments @ ..] => scheduler::child(role, arguments),
        [name] => run(|known| known == name, ""),
        [name, filter] => run(|known| known == name, filter),
        _ => Err("expected the name of a benchmark and a part of the names of its cases".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for (name, cases) in BENCHMARKS {
        println!("{name}");
        for (case, _) in cases {
            println!("  {case}");
        }
    }
}

/// Runs the cases of the chosen benchmarks whose names contain `filter`.
fn run(is_chosen: impl Fn(&str) -> bool, filter: &str) -> Result<(), Box<dyn Error>> {
    let chosen = BENCHMARKS.iter().filter(|(name, _)| is_chosen(name));
    let cases = chosen.flat_map(|(_, cases)| *cases);
    let cases: Vec<_> = cases.filter(|(name, _)| name.contains(filter)).collect();
    if cases.is_empty() {
        return Err("no such benchmark or case; `--list` shows them".into());
    }
    if cfg!(feature = "allocations") {
        count(&cases)
    } else {
        measure(&cases)
    }
}

fn measure(cases: &[&NamedCase]) -> Result<(), Box<dyn Error>> {
    println!("{}\n", machine::description());
    let mut missed = String::new();
    for (name, case) in cases {
        match case {
            Measure::Times(case) => {
                let outcome = case()?.measure();
                println!("{}", report::table(name, &outcome));
                missed += &report::missed(name, &outcome);
            }
            Measure::Once(figures) => {
                let figures = figures()?;
                println!("{}", figures.table(name));
                missed += &figures.missed(name);
            }
        }
    }
    println!("Goals missed:\n\n{missed}");
    Ok(())
}

fn count(cases: &[&NamedCase]) -> Result<(), Box<dyn Error>> {
    for (name, case) in cases {
        let Measure::Times(case) = case else {
            continue;
        };
        let counted = case()?.allocations();
        if !counted.is_empty() {
            println!("{}", report::allocations(name, &counted));
        }
    }
    Ok(())
}
