//! A real process and real signals: the parent runs this test binary again as the child, reads
//! what it says, and signals it.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use steadfast_lifecycle::{
    Health, Lifecycle, Service, ServiceError, ServiceSpec, Signal, StartContext, Status,
    StopContext,
};

/// Which part the child plays.
const ROLE: &str = "STEADFAST_LIFECYCLE_TEST_ROLE";
const FOREVER: Duration = Duration::from_secs(3_600);

pub(crate) fn kill(process: u32, signal: Signal) {
    let done = Command::new("kill")
        .arg(format!("-{}", signal.number()))
        .arg(process.to_string())
        .status()
        .expect("kill(1) runs");
    assert!(done.success());
}

struct Speaker {
    spec: ServiceSpec,
    hangs_in_start: bool,
    hangs_in_stop: bool,
}

#[async_trait]
impl Service for Speaker {
    fn spec(&self) -> ServiceSpec {
        self.spec.clone()
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        println!("start {}", self.spec.name);
        if self.hangs_in_start {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        println!("stop {}", self.spec.name);
        if self.hangs_in_stop {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

/// Not a test by itself: the child of the tests below.
#[test]
#[ignore = "the child process of the other tests here"]
fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    std::process::exit(runtime.block_on(play(&role)).into());
}

/// `a` <- `b` <- `c`; a role such as `start b` or `stop b` says what hangs.
async fn play(role: &str) -> u8 {
    let (drain, hangs) = match role.split_once(' ') {
        Some((drain, hangs)) => (drain, hangs),
        None => (role, ""),
    };
    let drain = if drain == "long" {
        FOREVER
    } else {
        Duration::from_millis(50)
    };
    let mut builder = Lifecycle::builder().start_timeout(FOREVER);
    let mut below = None;
    for name in ["a", "b", "c"] {
        let mut spec = ServiceSpec::new(name)
            .start_timeout(FOREVER)
            .stop_timeout(FOREVER);
        if let Some(below) = below.replace(name) {
            spec = spec.requires(below);
        }
        builder = builder.service(Arc::new(Speaker {
            spec,
            hangs_in_start: hangs == format!("start {name}"),
            hangs_in_stop: hangs == format!("stop {name}"),
        }));
    }
    let app = builder.build().expect("a sound graph");
    let mut snapshots = app.subscribe();
    let watch = async move {
        let mut last = Status::Stopped;
        while snapshots.changed().await.is_ok() {
            let now = snapshots.borrow_and_update().status;
            if now != last && matches!(now, Status::Running | Status::Draining) {
                println!("{now:?}");
            }
            last = now;
        }
        std::future::pending().await
    };
    tokio::select! {
        outcome = app.run_until_stopped(drain) => outcome.map_or_else(|e| e.exit_code(), |_| 0),
        never = watch => never,
    }
}

struct Parent {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Parent {
    fn of(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["process::child", "--exact", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child runs");
        let stdout = child.stdout.take().expect("a pipe");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            said: Vec::new(),
        }
    }

    /// Reads until the child says `line`.
    fn hear(&mut self, line: &str) {
        while let Some(said) = self.next() {
            if said == line {
                return;
            }
        }
        panic!("the child ended without saying {line:?}: {:?}", self.said);
    }

    fn next(&mut self) -> Option<String> {
        let line = self.lines.next()?.expect("text");
        self.said.push(line.clone());
        Some(line)
    }

    fn send(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }

    /// Waits for the end; the names of the services in the order of their stops.
    fn end(mut self) -> (ExitStatus, String) {
        while self.next().is_some() {}
        let status = self.child.wait().expect("the child ends");
        let stops = self
            .said
            .iter()
            .filter_map(|line| line.strip_prefix("stop "));
        (status, stops.collect())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn first_signal_drains_stops_in_reverse_and_exits_0() {
    for signal in [Signal::Terminate, Signal::Interrupt, Signal::Hangup] {
        let mut parent = Parent::of("short");
        parent.hear("Running");
        parent.send(signal);
        parent.hear("Draining");
        let (status, stops) = parent.end();
        assert_eq!((status.code(), &*stops), (Some(0), "cba"));
    }
}

#[test]
fn second_signal_skips_a_long_drain() {
    let mut parent = Parent::of("long");
    parent.hear("Running");
    parent.send(Signal::Terminate);
    parent.hear("Draining");
    parent.send(Signal::Interrupt);
    let (status, stops) = parent.end();
    assert_eq!((status.code(), &*stops), (Some(0), "cba"));
}

#[test]
fn third_signal_exits_with_128_plus_n_by_the_process_itself() {
    let mut parent = Parent::of("long stop b");
    parent.hear("Running");
    parent.send(Signal::Terminate);
    parent.hear("Draining");
    parent.send(Signal::Terminate);
    parent.hear("stop b");
    parent.send(Signal::Interrupt);
    let (status, stops) = parent.end();
    assert_eq!(
        (status.code(), status.signal(), &*stops),
        (Some(130), None, "cb")
    );
}

#[test]
fn signal_at_every_start_index_stops_what_was_entered_and_exits_0() {
    for (name, expected) in [("a", "a"), ("b", "ba"), ("c", "cba")] {
        let mut parent = Parent::of(&format!("long start {name}"));
        parent.hear(&format!("start {name}"));
        parent.send(Signal::Terminate);
        let (status, stops) = parent.end();
        assert_eq!((status.code(), &*stops), (Some(0), expected));
    }
}
