//! Benchmarks of Steadfast against its peers: `cargo xtask bench [name]`.
//!
//! All contenders of a case run in one process, in turn, in an order that rotates; what is
//! reported is the median over the rounds, and the median of the ratios within each round, so that
//! a machine that slows down for a while slows all of them down alike. The peers are dependencies
//! of this crate only.

mod harness;
mod machine;
mod report;
mod sync;

use std::{env, error::Error, process::ExitCode};

use crate::harness::Case;

/// A benchmark's name, and what makes its cases.
type Benchmark = (&'static str, fn() -> Result<Vec<Case>, Box<dyn Error>>);

const BENCHMARKS: [Benchmark; 1] = [("sync", sync::cases)];

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let names = BENCHMARKS.map(|(name, _)| name).join(", ");
    let chosen = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--list"] => {
            println!("{names}");
            return Ok(());
        }
        [name] if BENCHMARKS.iter().any(|(known, _)| *known == name) => Some(name),
        _ => {
            let given = arguments.join(" ");
            return Err(format!("no benchmark `{given}`; the benchmarks are {names}").into());
        }
    };
    println!("{}\n", machine::description());
    for (name, cases) in BENCHMARKS {
        if chosen.is_none_or(|chosen| chosen == name) {
            for case in cases()? {
                println!("{}", report::table(&case.measure()));
            }
        }
    }
    Ok(())
}
