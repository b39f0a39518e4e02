//! Signals at every stage.

use std::{ops::RangeInclusive, os::unix::process::ExitStatusExt, time::Duration};

use steadfast_testkit::{ChildProcess, Random, seed};

use crate::chain::SERVICES;

const LONG_DRAIN: u64 = 3_600_000;

fn start(drain: u64, quirk: &str, at: usize) -> ChildProcess {
    start_with_threads(2, drain, quirk, at)
}

fn start_with_threads(threads: usize, drain: u64, quirk: &str, at: usize) -> ChildProcess {
    let role = format!("{drain} {quirk} {at} {threads}");
    ChildProcess::start("chain::child", &role).unwrap()
}

/// Waits for the end: the exit code, which no signal may have given, and the order of the stops.
fn end(mut child: ChildProcess) -> (i32, Vec<usize>) {
    let status = child.wait();
    assert_eq!(status.signal(), None, "{:?}", child.said());
    let stops = child
        .said()
        .iter()
        .filter_map(|it| it.strip_prefix("stop "));
    let stops = stops.map(|index| index.parse().unwrap()).collect();
    (status.code().unwrap(), stops)
}

/// From the last to the first.
fn reversed(indices: RangeInclusive<usize>) -> Vec<usize> {
    indices.rev().collect()
}

#[test]
fn signal_at_every_start_index_stops_what_was_entered_and_exits_0() {
    for at in 0..SERVICES {
        let mut child = start(LONG_DRAIN, "hangs-in-start", at);
        child.hear(&format!("start {at}"));
        child.send("TERM");
        assert_eq!(end(child), (0, reversed(0..=at)), "at {at}");
    }
}

#[test]
fn third_signal_at_every_stop_index_exits_with_128_plus_its_number() {
    for at in 0..SERVICES {
        let mut child = start(LONG_DRAIN, "hangs-in-stop", at);
        child.hear("Running");
        child.send("TERM");
        child.hear("Draining");
        child.send("HUP");
        child.hear(&format!("stop {at}"));
        child.send("INT");
        assert_eq!(end(child), (130, reversed(at..=SERVICES - 1)), "at {at}");
    }
}

#[test]
fn start_that_blocks_its_thread_does_not_keep_the_third_signal_from_ending_the_process() {
    for at in 0..SERVICES {
        let mut child = start(LONG_DRAIN, "blocks-in-start", at);
        child.hear(&format!("start {at}"));
        child.send("TERM");
        child.hear("Draining");
        // Those of one kind that come faster than they are read are one.
        child.send("HUP");
        child.send("INT");
        let (code, stops) = end(child);
        assert!([129, 130].contains(&code), "exit code {code}");
        assert!(
            stops.is_empty(),
            "nothing is stopped under a start that goes on"
        );
    }
}

/// The thread that drives the runtime is blocked, so that in the runtime nobody hears a signal.
#[test]
fn start_that_blocks_the_only_thread_does_not_keep_the_third_signal_from_ending_the_process() {
    for threads in [0, 1] {
        for at in [0, SERVICES - 1] {
            let mut child = start_with_threads(threads, LONG_DRAIN, "blocks-in-start", at);
            child.hear(&format!("start {at}"));
            child.send("TERM");
            child.send("HUP");
            child.send("INT");
            let (code, stops) = end(child);
            assert!([129, 130, 143].contains(&code), "exit code {code}");
            assert!(stops.is_empty(), "{threads} threads");
        }
    }
}

/// A log that takes nothing more, because nobody reads it, is what processes like to hang in.
#[test]
fn log_that_takes_no_more_does_not_keep_the_third_signal_from_ending_the_process() {
    for threads in [0, 2] {
        let mut child = start_with_threads(threads, LONG_DRAIN, "blocks-in-log", 0);
        child.hear("start 0");
        child.send("TERM");
        child.send("HUP");
        child.send("INT");
        let (code, stops) = end(child);
        assert!([129, 130, 143].contains(&code), "exit code {code}");
        assert!(stops.is_empty(), "{threads} threads");
    }
}

#[test]
fn second_signal_skips_a_long_drain() {
    let mut child = start(LONG_DRAIN, "none", 0);
    child.hear("Running");
    child.send("TERM");
    child.hear("Draining");
    child.send("INT");
    assert_eq!(end(child), (0, reversed(0..=SERVICES - 1)));
}

#[test]
fn first_signal_of_each_kind_drains_stops_in_reverse_and_exits_0() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut child = start(50, "none", 0);
        child.hear("Running");
        child.send(signal);
        child.hear("Draining");
        assert_eq!(end(child), (0, reversed(0..=SERVICES - 1)), "SIG{signal}");
    }
}

/// Whenever a signal comes, what was entered is stopped once, the last first.
#[test]
fn signal_at_a_random_moment_leaves_nothing_entered() {
    let mut random = Random::new(seed());
    let mut moments = Vec::new();
    for round in 0..30 {
        let mut child = start(0, "all-slow-in-start", 0);
        child.hear("start 0");
        pause(random.below(20_000));
        child.send(random.pick::<&str>(&["TERM", "INT", "HUP"]));
        let (code, stops) = end(child);
        assert_eq!(code, 0, "round {round}");
        let entered = stops.len();
        assert!(
            (1..=SERVICES).contains(&entered),
            "round {round}: {stops:?}"
        );
        assert_eq!(stops, reversed(0..=entered - 1), "round {round}");
        moments.push(entered);
    }
    println!("entered when the signal came: {moments:?}");
}

fn pause(microseconds: u64) {
    std::thread::sleep(Duration::from_micros(microseconds));
}
