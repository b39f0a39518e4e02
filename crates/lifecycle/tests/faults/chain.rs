//! What the child processes run.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use steadfast_clock::{Clock, SystemClock};
use steadfast_lifecycle::{
    Health, Lifecycle, Service, ServiceError, ServiceSpec, StartContext, Status, StopContext,
};
use steadfast_testkit::ChildProcess;
use tracing::{Event, Metadata, Subscriber, span};

/// How many services there are, each of which requires the one before.
pub(crate) const SERVICES: usize = 8;
const FOREVER: Duration = Duration::from_secs(3_600);

/// What the one service does that is not like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirk {
    None,
    HangsInStart,
    /// Keeps the thread on which it is started.
    BlocksInStart,
    /// Does so in the middle of a line of the log.
    BlocksInLog,
    HangsInStop,
    /// Takes a millisecond, as all others then do.
    AllSlowInStart,
}

/// Held by whoever writes to the log.
static LOG: Mutex<()> = Mutex::new(());

/// A log that takes one line at a time.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        drop(LOG.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Link {
    index: usize,
    quirk: Quirk,
}

#[async_trait]
impl Service for Link {
    fn spec(&self) -> ServiceSpec {
        let spec = ServiceSpec::new(self.index.to_string())
            .start_timeout(FOREVER)
            .stop_timeout(FOREVER);
        match self.index {
            0 => spec,
            index => spec.requires((index - 1).to_string()),
        }
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        println!("start {}", self.index);
        match self.quirk {
            Quirk::HangsInStart => std::future::pending().await,
            Quirk::BlocksInStart => std::thread::sleep(FOREVER),
            Quirk::BlocksInLog => {
                let _writing = LOG.lock().unwrap_or_else(PoisonError::into_inner);
                std::thread::sleep(FOREVER);
            }
            Quirk::AllSlowInStart => tokio::time::sleep(Duration::from_millis(1)).await,
            Quirk::None | Quirk::HangsInStop => {}
        }
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        println!("stop {}", self.index);
        if self.quirk == Quirk::HangsInStop {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

/// The child: `<drain in ms> <quirk> <index of the service that has it> <threads of the runtime>`;
/// with no thread the runtime is that of `current_thread`.
#[test]
fn child() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    let words: Vec<_> = role.split(' ').collect();
    let drain = Duration::from_millis(words[0].parse().unwrap());
    let quirk = match words[1] {
        "hangs-in-start" => Quirk::HangsInStart,
        "blocks-in-start" => Quirk::BlocksInStart,
        "blocks-in-log" => {
            tracing::subscriber::set_global_default(Log).unwrap();
            Quirk::BlocksInLog
        }
        "hangs-in-stop" => Quirk::HangsInStop,
        "all-slow-in-start" => Quirk::AllSlowInStart,
        _ => Quirk::None,
    };
    let mut builder = match words[3].parse().unwrap() {
        0 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build().unwrap();
    let code = runtime.block_on(run(drain, quirk, words[2].parse().unwrap()));
    // Not by a return: the runtime would wait for a thread that is blocked.
    std::process::exit(code.into());
}

async fn run(drain: Duration, quirk: Quirk, at: usize) -> u8 {
    let mut builder = Lifecycle::builder().start_timeout(FOREVER);
    for index in 0..SERVICES {
        let has_it = index == at || quirk == Quirk::AllSlowInStart;
        let quirk = if has_it { quirk } else { Quirk::None };
        builder = builder.service(Arc::new(Link { index, quirk }));
    }
    let app = builder.build().unwrap();
    let mut snapshots = app.subscribe();
    let tell = async move {
        let mut last = Status::Stopped;
        while snapshots.changed().await.is_ok() {
            let at = SystemClock.wall();
            let snapshot = snapshots.borrow_and_update().clone();
            let now = snapshot.status;
            if now != last && matches!(now, Status::Running | Status::Draining) {
                let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let up = snapshot.services.iter().filter(|it| it.state.is_up());
                let (ready, up) = (snapshot.is_ready(), up.count());
                // In one go, so that no other line comes in between.
                println!("{now:?}\n{} {ready} {up}", at.as_nanos());
            }
            last = now;
        }
        std::future::pending().await
    };
    tokio::select! {
        outcome = app.run_until_stopped(drain) => outcome.map_or_else(|e| e.exit_code(), |_| 0),
        never = tell => never,
    }
}
