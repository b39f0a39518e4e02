//! What the figures were measured on.

use std::{fs, process::Command, thread};

const LOCK: &str = include_str!("../../../Cargo.lock");

/// Processor, cores, load, compiler and day: figures mean nothing without them.
pub(crate) fn description() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, load before {}, {}, {}. Medians.",
        processor().unwrap_or_else(unknown),
        load().unwrap_or_else(unknown),
        first_line("rustc", "--version").unwrap_or_else(unknown),
        first_line("date", "+%F").unwrap_or_else(unknown),
    )
}

/// A package with the version that is locked, the newest of several, as in "lockable 0.2.0".
pub(crate) fn versioned(package: &str) -> String {
    match locked_version(LOCK, package) {
        Some(version) => format!("{package} {version}"),
        None => package.to_owned(),
    }
}

fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, entry) = lock.rsplit_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    entry.split('"').next()
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<String> {
    let averages = fs::read_to_string("/proc/loadavg").ok()?;
    averages.split(' ').next().map(str::to_owned)
}

fn first_line(command: &str, argument: &str) -> Option<String> {
    let output = Command::new(command).arg(argument).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

fn unknown() -> String {
    "something unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"b\"\n\
             version = \"4.5.6\"\n\n[[package]]\nname = \"b\"\nversion = \"7.8.9\"\n";
        assert_eq!(locked_version(lock, "b"), Some("7.8.9"));
        assert_eq!(locked_version(lock, "c"), None);
    }

    #[test]
    fn every_peer_is_locked() {
        let peers = [
            "async_singleflight",
            "asyncband",
            "backon",
            "cron",
            "croner",
            "dashmap",
            "failsafe",
            "governor",
            "keyed-lock",
            "leaky-bucket",
            "lockable",
            "moka",
            "tokio",
            "tokio-cron-scheduler",
            "tower-resilience-circuitbreaker",
        ];
        for peer in peers {
            assert!(locked_version(LOCK, peer).is_some(), "{peer}");
        }
    }
}
