use std::{io, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::UnixSignals;
use crate::{Signal, SignalSource};

/// Which signal is the last.
const LAST: usize = 3;

/// How long the process has to end by itself after the last signal.
const GRACE: Duration = Duration::from_secs(1);

/// Ends the process a moment after the third signal, also where the application's runtime is
/// blocked and hears nothing; on a thread and in a runtime of its own.
///
/// It only counts; the application hears the same signals. Dropping it disarms it.
#[derive(Debug)]
pub(crate) struct LastResort {
    armed: DropGuard,
}

impl LastResort {
    /// Counts signals from now on.
    pub(crate) async fn arm() -> io::Result<Self> {
        let disarmed = CancellationToken::new();
        let armed = disarmed.clone().drop_guard();
        let (installed, outcome) = oneshot::channel();
        thread::Builder::new()
            .name("last-resort".to_owned())
            .spawn(move || match install() {
                Ok((runtime, signals)) => {
                    let _ = installed.send(Ok(()));
                    runtime.block_on(disarmed.run_until_cancelled(watch(signals)));
                }
                Err(error) => {
                    let _ = installed.send(Err(error));
                }
            })?;
        let outcome = outcome.await.map_err(io::Error::other)?;
        outcome.map(|()| Self { armed })
    }

    /// The third signal was heard: if the process does not end by itself, it is ended.
    pub(crate) fn stay_armed(self) {
        let _ = self.armed.disarm();
    }
}

fn install() -> io::Result<(Runtime, UnixSignals)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let signals = UnixSignals::install()?;
    drop(entered);
    Ok((runtime, signals))
}

async fn watch(mut signals: UnixSignals) {
    let mut last = Signal::Terminate;
    for _ in 0..LAST {
        last = signals.next().await;
    }
    // On a thread of its own: it may be the log that the process is stuck in.
    let _ = thread::Builder::new().spawn(move || {
        tracing::warn!(signal = %last, "third signal: ending the process unless it ends by itself");
    });
    sleep(GRACE).await;
    std::process::exit((128 + last.number()).into());
}
