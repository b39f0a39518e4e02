use std::time::SystemTime;

use steadfast_clock::{Clock, SystemClock};

use super::micros;

/// A moment as every process of one host sees it, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct HostTime {
    /// Which start of the system `monotonic` counts from; empty where that is not known.
    pub(crate) boot: String,
    /// The system's monotonic clock: nobody can set it, and it begins anew with each boot.
    pub(crate) monotonic: i64,
    /// The time of day, which can be set, for leases of another boot.
    pub(crate) wall: i64,
}

impl HostTime {
    pub(crate) fn now(boot: &str) -> Self {
        let wall = SystemClock.wall().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            boot: boot.to_owned(),
            monotonic: monotonic(),
            wall: micros(wall.unwrap_or_default()),
        }
    }
}

/// What names this start of the system; empty where there is no such name.
pub(crate) fn boot() -> String {
    if cfg!(target_os = "linux") {
        let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        name.unwrap_or_default().trim().to_owned()
    } else {
        String::new()
    }
}

#[cfg(target_os = "linux")]
fn monotonic() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(not(target_os = "linux"))]
fn monotonic() -> i64 {
    0
}
