//! Implementations of the ports on the real world.

#[cfg(unix)]
mod last_resort;
#[cfg(all(unix, feature = "systemd"))]
mod systemd;
#[cfg(unix)]
mod unix_signals;

#[cfg(unix)]
pub(crate) use last_resort::LastResort;
#[cfg(all(unix, feature = "systemd"))]
pub use systemd::Systemd;
#[cfg(unix)]
pub use unix_signals::UnixSignals;
