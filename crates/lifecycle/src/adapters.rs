//! Implementations of the ports on the real world.

#[cfg(unix)]
mod unix_signals;

#[cfg(unix)]
pub use unix_signals::UnixSignals;
