//! Implementations of the ports on the real world.

#[cfg(all(unix, feature = "systemd"))]
mod systemd;
#[cfg(unix)]
mod unix_signals;

#[cfg(all(unix, feature = "systemd"))]
pub use systemd::Systemd;
#[cfg(unix)]
pub use unix_signals::UnixSignals;
