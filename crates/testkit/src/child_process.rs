use std::{
    io::{self, BufRead, BufReader},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Once,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::signal::signal;

const ROLE: &str = "STEADFAST_TESTKIT_ROLE";
/// How long a line or the end of a child is waited for.
const WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether a child has ended.
const POLL: Duration = Duration::from_millis(5);
/// How many lines may wait to be read before the child has to wait.
const MAX_LINES: usize = 1024;
/// How the child ends where its parent is gone.
const ABANDONED: i32 = 70;

/// The test binary run again as a child process that plays a role: for tests of what a real
/// process does when it is signalled, killed or stopped.
///
/// The child runs one named test, which asks for its [`role`](Self::role) and returns at once
/// where there is none, so that it passes as a test of its own. The child is killed when the value
/// is dropped, and ends when the parent dies by whatever means.
///
/// The methods block: an async test with other work in its runtime calls them on a thread of their
/// own, or has a runtime with several.
///
/// # Examples
///
/// ```
/// use steadfast_testkit::ChildProcess;
///
/// // In tests/it/process.rs, each of the two as a #[test]:
/// fn child() {
///     let Some(role) = ChildProcess::role() else { return };
///     println!("I play {role}");
///     std::thread::park();
/// }
///
/// fn terminated_child_dies() {
///     let mut child = ChildProcess::start("process::child", "the leader").unwrap();
///     child.hear("I play the leader");
///     child.send("TERM");
///     assert!(!child.wait().success());
/// }
/// ```
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    /// The child ends when this is closed.
    _stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl ChildProcess {
    /// Runs the test `test` of this test binary (`module::function`, without the crate) in a
    /// child that plays `role`. What it writes to standard error is shown.
    ///
    /// # Errors
    ///
    /// What the operating system says when the child cannot be started.
    pub fn start(test: &str, role: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            // With one thread the harness would write the test's name in front of the first line.
            .args([test, "--exact", "--nocapture", "--test-threads=2"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = sync_channel(MAX_LINES);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let child = Self {
            child,
            _stdin: stdin,
            lines,
            said: Vec::new(),
        };
        thread::Builder::new().spawn(move || {
            let lines = stdout.into_iter().flat_map(|it| BufReader::new(it).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(child)
    }

    /// The role to play, if this process is a child.
    #[must_use]
    pub fn role() -> Option<String> {
        static WATCH: Once = Once::new();
        let role = std::env::var(ROLE).ok()?;
        WATCH.call_once(|| {
            thread::spawn(|| {
                // Either outcome says that the parent is gone.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                std::process::exit(ABANDONED);
            });
        });
        Some(role)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of the child's standard output, or `None` when there are no more. The test
    /// harness in the child also writes some.
    ///
    /// # Panics
    ///
    /// If the child says nothing for a minute.
    pub fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(WITHIN) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the child is silent for {WITHIN:?}: {:?}", self.said)
            }
        }
    }

    /// Reads until the child says exactly `line`.
    ///
    /// # Panics
    ///
    /// If the child ends without saying it, or says nothing for a minute.
    pub fn hear(&mut self, line: &str) {
        while let Some(said) = self.next_line() {
            if said == line {
                return;
            }
        }
        panic!("the child ended without saying {line:?}: {:?}", self.said);
    }

    /// The lines that were read so far.
    #[must_use]
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// Sends the signal `name`: `TERM`, `KILL`, `STOP`, `CONT` and so on.
    ///
    /// # Panics
    ///
    /// If the child has ended, or there is no such signal.
    pub fn send(&mut self, name: &str) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("no SIG{name}: the child has ended with {status}");
        }
        if let Err(error) = signal(name, &self.child.id().to_string()) {
            panic!("SIG{name} was not sent to the child: {error}");
        }
    }

    /// Reads what the child still says and waits for its end.
    ///
    /// # Panics
    ///
    /// If the child does not end: it says nothing for a minute, or closes its standard output and
    /// stays for another.
    pub fn wait(&mut self) -> ExitStatus {
        while self.next_line().is_some() {}
        for _ in 0..WITHIN.as_millis() / POLL.as_millis() {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) => thread::sleep(POLL),
                Err(error) => panic!("the child cannot be waited for: {error}"),
            }
        }
        panic!("the child does not end: {:?}", self.said);
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // What fails here has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
