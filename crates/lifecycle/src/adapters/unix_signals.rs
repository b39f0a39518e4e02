use std::io;

use async_trait::async_trait;
use tokio::signal::unix::{self, SignalKind};

use crate::{Signal, SignalSource};

/// `SIGTERM`, `SIGINT` and `SIGHUP` of this process.
///
/// The handlers stay installed for the rest of the process's life (tokio never removes one), so
/// that from [`install`](Self::install) on none of them ends the process by itself. Signals of
/// one kind that come faster than they are read may be merged into one, as POSIX has it.
#[derive(Debug)]
pub struct UnixSignals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl UnixSignals {
    /// Installs the handlers; signals are kept from now on.
    ///
    /// # Errors
    ///
    /// If the system refuses a handler.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }
}

#[async_trait]
impl SignalSource for UnixSignals {
    async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.hangup.recv() => Signal::Hangup,
            else => std::future::pending().await,
        }
    }
}
