use std::{
    env,
    ffi::OsStr,
    future::{Future, pending},
    io,
    os::unix::{ffi::OsStrExt, net},
    pin::pin,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    net::UnixDatagram,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{LifecycleHandle, Snapshot, Status};

/// Tells systemd that the application is ready, that it stops, and that it is alive, by the
/// protocol of `sd_notify(3)`; for units of `Type=notify`.
///
/// - `READY=1` once the application [is ready](Snapshot::is_ready), and again after each restart of
///   the lifecycle.
/// - `STOPPING=1` when it drains, stops or is rolled back.
/// - `WATCHDOG=1` at half of the time that the unit's `WatchdogSec=` sets, while the application is
///   not [`Unhealthy`](Status::Unhealthy): systemd restarts it if that lasts, or if the runtime is
///   blocked.
///
/// A message that cannot be sent is logged; it never stops the application. `READY=1` and
/// `STOPPING=1` are tried again with the next change of the snapshot or the next `WATCHDOG=1`.
#[derive(Debug)]
pub struct Systemd {
    /// `None` if nobody waits for messages.
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// The socket and the watchdog that systemd has put in the environment (`NOTIFY_SOCKET`,
    /// `WATCHDOG_USEC`, `WATCHDOG_PID`); one that does nothing if there are none.
    ///
    /// # Errors
    ///
    /// The socket of the environment cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub fn from_env() -> io::Result<Self> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(path) => Self::connect(path, sd_notify::watchdog_enabled()),
            None => Ok(Self {
                socket: None,
                watchdog: None,
            }),
        }
    }

    /// The socket at `path` (with a leading `@`: in Linux's abstract namespace), and how long
    /// the other end waits for a sign of life.
    ///
    /// # Errors
    ///
    /// The socket cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub fn connect(path: impl AsRef<OsStr>, watchdog: Option<Duration>) -> io::Result<Self> {
        let path = path.as_ref();
        let socket = net::UnixDatagram::unbound()?;
        match path.as_bytes().strip_prefix(b"@") {
            Some(name) => connect_abstract(&socket, name)?,
            None => socket.connect(path)?,
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(UnixDatagram::from_std(socket)?),
            watchdog: watchdog.filter(|time| !time.is_zero()),
        })
    }

    /// Runs `application` to its end, and tells systemd how the lifecycle behind `handle` is
    /// meanwhile.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use steadfast_lifecycle::{Lifecycle, Systemd};
    /// # async fn example(app: Lifecycle) -> Result<(), Box<dyn std::error::Error>> {
    /// let application = app.run_until_stopped(Duration::from_secs(10));
    /// Systemd::from_env()?.during(&app.handle(), application).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `application`; nothing more is sent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn during<T>(
        self,
        handle: &LifecycleHandle,
        application: impl Future<Output = T>,
    ) -> T {
        let Some(socket) = self.socket else {
            return application.await;
        };
        let mut teller = Teller {
            socket,
            said_ready: false,
            said_stopping: false,
            unhealthy: false,
        };
        let outcome = {
            let mut telling = pin!(teller.follow(handle, self.watchdog));
            let mut application = pin!(application);
            tokio::select! {
                biased;
                // First, so that a lifecycle that stops for good cannot end before this is told.
                () = &mut telling => application.await,
                outcome = &mut application => outcome,
            }
        };
        teller.look(&handle.snapshot()).await;
        outcome
    }
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &net::UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    socket.connect_addr(&net::SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &net::UnixDatagram, _: &[u8]) -> io::Result<()> {
    let text = "an abstract socket (`@…`) exists on Linux only";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// What systemd has been told of the run at work.
struct Teller {
    socket: UnixDatagram,
    said_ready: bool,
    said_stopping: bool,
    unhealthy: bool,
}

impl Teller {
    /// Returns never while the handle lives.
    async fn follow(&mut self, handle: &LifecycleHandle, watchdog: Option<Duration>) {
        let mut snapshots = handle.subscribe();
        let mut beats = watchdog.map(|time| {
            let mut beats = interval((time / 2).max(Duration::from_nanos(1)));
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        loop {
            let now = snapshots.borrow_and_update().clone();
            let was_unhealthy = self.unhealthy;
            self.look(&now).await;
            if was_unhealthy
                && !self.unhealthy
                && let Some(beats) = &mut beats
            {
                // Half of the time may be too late by now.
                beats.reset_immediately();
            }
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                () = beat(beats.as_mut()) => if !self.unhealthy {
                    self.send(&NotifyState::Watchdog).await;
                },
            }
        }
    }

    /// Tells what is new.
    async fn look(&mut self, now: &Snapshot) {
        self.unhealthy = now.status == Status::Unhealthy;
        match now.status {
            Status::Starting => self.said_stopping = false,
            Status::Running | Status::Degraded => {
                self.said_stopping = false;
                if !self.said_ready {
                    self.said_ready = self.send(&NotifyState::Ready).await;
                }
            }
            Status::Unhealthy => {}
            Status::Draining | Status::Stopping => self.stopping().await,
            // Also the state before the first start.
            Status::Stopped if self.said_ready => self.stopping().await,
            Status::Stopped => {}
        }
    }

    async fn stopping(&mut self) {
        if !self.said_stopping {
            self.said_stopping = self.send(&NotifyState::Stopping).await;
            self.said_ready = false;
        }
    }

    /// Whether the message was sent.
    async fn send(&self, message: &NotifyState<'_>) -> bool {
        let sent = self.socket.send(message.to_string().as_bytes()).await;
        sent.inspect_err(|error| tracing::warn!(%message, %error, "cannot tell systemd"))
            .is_ok()
    }
}

async fn beat(beats: Option<&mut Interval>) {
    match beats {
        Some(beats) => {
            beats.tick().await;
        }
        None => pending().await,
    }
}
