//! How long a signal takes to end the readiness.

use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use steadfast_clock::{Clock, SystemClock};
use steadfast_testkit::ChildProcess;

use crate::chain::SERVICES;

const ROUNDS: usize = 50;

/// How long the process drains, in milliseconds: until the second signal.
const DRAIN: u64 = 3_600_000;

/// The time is printed and not asserted: on a loaded machine it says more about the load.
#[test]
fn first_signal_ends_the_readiness_before_anything_is_stopped() {
    let mut took: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    took.sort_unstable();
    let (median, longest) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    println!(
        "from kill(2) to the flip of the snapshot, {ROUNDS} times: median {median:?}, longest {longest:?}"
    );
}

fn round() -> Duration {
    let mut child = ChildProcess::start("chain::child", &format!("{DRAIN} none 0 2")).unwrap();
    child.hear("Running");
    let (_, ready, up) = told(&mut child);
    assert_eq!((ready, up), (true, SERVICES));

    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    let sent = SystemClock.wall();
    kill_process(pid, Signal::TERM).unwrap();
    child.hear("Draining");
    let (flipped, ready, up) = told(&mut child);
    assert_eq!((ready, up), (false, SERVICES), "it serves on");
    let stopped = |line: &String| line.starts_with("stop ");
    assert!(!child.said().iter().any(stopped), "{:?}", child.said());
    child.send("INT");
    assert!(child.wait().success());
    let stops = child.said().iter().filter(|line| stopped(line));
    assert_eq!(stops.count(), SERVICES);
    flipped.duration_since(sent).unwrap_or_default()
}

/// When the snapshot was as the line before says, whether it was ready, and how many were up.
fn told(child: &mut ChildProcess) -> (SystemTime, bool, usize) {
    let line = child.next_line().unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let at = Duration::from_nanos(words[0].parse().unwrap());
    let (ready, up) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    (SystemTime::UNIX_EPOCH + at, ready, up)
}
