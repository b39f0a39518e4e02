use std::time::SystemTime;

use crate::{Clock, Instant};

/// The machine's clock: [`SystemTime`] for wall time, tokio's [`Instant`] for monotonic time.
///
/// # Examples
///
/// ```
/// use steadfast_clock::{Clock, SystemClock};
///
/// let before = SystemClock.monotonic();
/// assert!(SystemClock.monotonic() >= before);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
