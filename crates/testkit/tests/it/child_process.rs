use std::os::unix::process::ExitStatusExt;

use steadfast_testkit::ChildProcess;

use crate::servers::is_running;

const CHILD: &str = "child_process::child";

/// Not a test by itself: what the children of the tests below do.
#[test]
fn child() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    match &*role {
        "ends with 3" => {
            println!("one\ntwo");
            std::process::exit(3);
        }
        "parent" => {
            let inner = ChildProcess::start(CHILD, "waits").unwrap();
            println!("child {}", inner.id());
            park();
        }
        _ => {
            println!("{role}");
            park();
        }
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn waiting_child() -> ChildProcess {
    let mut child = ChildProcess::start(CHILD, "waits").unwrap();
    child.hear("waits");
    child
}

fn assert_gone(pid: u32) {
    for _ in 0..1_000 {
        if !is_running(pid) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("process {pid} is left");
}

#[test]
fn child_says_its_lines_and_ends_with_its_code() {
    let mut child = ChildProcess::start(CHILD, "ends with 3").unwrap();
    child.hear("one");
    assert_eq!(child.next_line().as_deref(), Some("two"));
    assert_eq!(child.wait().code(), Some(3));
    assert_eq!(child.next_line(), None);
    assert!(child.said().ends_with(&["one".into(), "two".into()]));
}

#[test]
fn signalled_child_dies_by_that_signal() {
    for (name, number) in [("TERM", 15), ("KILL", 9)] {
        let mut child = waiting_child();
        child.send(name);
        assert_eq!(child.wait().signal(), Some(number));
    }
}

#[test]
fn dropped_child_is_gone_also_while_it_is_stopped() {
    for stop in [false, true] {
        let mut child = waiting_child();
        if stop {
            child.send("STOP");
        }
        let pid = child.id();
        drop(child);
        assert!(!is_running(pid));
    }
}

#[test]
fn child_of_a_killed_parent_ends() {
    let mut parent = ChildProcess::start(CHILD, "parent").unwrap();
    let pid = loop {
        let line = parent.next_line().unwrap();
        if let Some(pid) = line.strip_prefix("child ") {
            break pid.parse().unwrap();
        }
    };
    assert!(is_running(pid));
    parent.send("KILL");
    parent.wait();
    assert_gone(pid);
}

#[test]
#[should_panic(expected = "the child ended without saying \"three\"")]
fn line_that_is_never_said_fails() {
    let mut child = ChildProcess::start(CHILD, "ends with 3").unwrap();
    child.hear("three");
}

#[test]
#[should_panic(expected = "running 0 tests")]
fn test_that_does_not_exist_fails() {
    let mut child = ChildProcess::start("no::such", "waits").unwrap();
    child.hear("waits");
}

#[test]
#[should_panic(expected = "the child has ended")]
fn signal_to_a_child_that_ended_fails() {
    let mut child = ChildProcess::start(CHILD, "ends with 3").unwrap();
    child.wait();
    child.send("TERM");
}
