use std::{pin::pin, time::Duration};

use tokio::time::sleep;

use crate::{
    Lifecycle, RunError, Signal, SignalSource, StartError, StopReport,
    lifecycle::clean,
    run::{Cause, Ending, Run},
};

impl Lifecycle {
    /// Installs the handlers of `SIGTERM`, `SIGINT` and `SIGHUP`, starts every service, and runs
    /// until it is asked to stop; see [`run_until_stopped_by`](Self::run_until_stopped_by).
    ///
    /// A thread of its own counts the signals too: a second after the third it ends the process
    /// with 128 + n, unless that has ended by itself or this call has returned before the third. So
    /// the third signal also works where a service blocks the only thread of the runtime, and where
    /// `main` does not return after it. Nobody hears signals that come later than the end of this
    /// call, for the handlers stay installed.
    ///
    /// `main` is best left by [`std::process::exit`] with the code: returning from
    /// `#[tokio::main]` waits for threads that are blocked. (Or call
    /// [`shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout) on a runtime of your own.)
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use steadfast_lifecycle::Lifecycle;
    /// # async fn example(app: Lifecycle) {
    /// let code = match app.run_until_stopped(Duration::from_secs(10)).await {
    ///     Ok(_) => 0,
    ///     Err(error) => {
    ///         eprintln!("{error}");
    ///         error.exit_code()
    ///     }
    /// };
    /// std::process::exit(code.into());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the application running, deaf to signals; call
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`RunError`], which knows the process's exit code.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    #[cfg(unix)]
    pub async fn run_until_stopped(&self, drain: Duration) -> Result<StopReport, RunError> {
        let failed = |source| RunError::InstallSignals { source };
        let mut signals = crate::UnixSignals::install().map_err(failed)?;
        let last_resort = crate::adapters::LastResort::arm().await.map_err(failed)?;
        let outcome = self.run_until_stopped_by(&mut signals, drain).await;
        if matches!(outcome, Err(RunError::Killed { .. })) {
            last_resort.stay_armed();
        }
        outcome
    }

    /// Starts every service, and runs until a signal, a
    /// [request](crate::LifecycleHandle::request_stop), a call of [`stop`](Self::stop) or the
    /// failure of a required service stops it.
    ///
    /// The first signal makes the snapshot say [`Draining`](crate::Status::Draining) at once; the
    /// services go on serving for `drain` and are then stopped in reverse. A signal during the
    /// start gives it up without a drain, since nothing is being served. The second signal skips
    /// the rest of the drain. The third ends the wait: the error's
    /// [`exit_code`](RunError::exit_code) is 128 + n, and the caller is to leave the process with
    /// it, for services may still be up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the application running, deaf to signals; call
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`RunError`], which knows the process's exit code.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn run_until_stopped_by(
        &self,
        signals: &mut dyn SignalSource,
        drain: Duration,
    ) -> Result<StopReport, RunError> {
        let run = self.begin().await;
        let outcome = tokio::select! {
            biased;
            ending = run.ended() => conclude(ending),
            signal = self.obey(&run, signals, drain) => Err(RunError::Killed { signal }),
        };
        self.board().handle.clear_stop_request();
        outcome
    }

    /// Turns signals and requests into a drain and a stop; returns the signal that asks to leave
    /// at once.
    async fn obey(&self, run: &Run, signals: &mut dyn SignalSource, drain: Duration) -> Signal {
        let mut heard = 0;
        tokio::select! {
            biased;
            signal = signals.next() => {
                heard = 1;
                tracing::info!(%signal, ?drain, "signal: draining");
            }
            () = self.board().handle.stop_requested() => {
                tracing::info!(?drain, "stop requested: draining");
            }
        }
        self.board().draining();
        let mut drained = pin!(drained(run, drain));
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => {
                    heard += 1;
                    tracing::warn!(%signal, heard, "signal during the stop");
                    if heard == 2 {
                        run.stop.cancel();
                    } else if heard > 2 {
                        return signal;
                    }
                }
                () = &mut drained, if !run.stop.is_cancelled() => run.stop.cancel(),
            }
        }
    }
}

/// Waits for the end of the drain, if there is anybody to serve.
async fn drained(run: &Run, drain: Duration) {
    if run.is_up() {
        sleep(drain).await;
    }
}

fn conclude(ending: Option<Ending>) -> Result<StopReport, RunError> {
    let Some(Ending { cause, stop }) = ending else {
        let source = StartError::RuntimeGone;
        return Err(RunError::Start { source });
    };
    match cause {
        Cause::StopAsked | Cause::StartFailed(StartError::Stopped { .. }) => {
            clean(stop).map_err(|source| RunError::Stop { source })
        }
        Cause::StartFailed(source) => Err(RunError::Start { source }),
        Cause::ServiceFailed {
            service,
            restarts,
            fault,
        } => Err(RunError::ServiceFailed {
            service,
            restarts,
            source: fault,
            stop,
        }),
    }
}
