//! Wall and monotonic time as a trait, so that code which depends on time can be tested without
//! waiting for it.
//!
//! For: anything that reads the time. Take an `Arc<dyn Clock>` when you are built, call
//! [`Clock::wall`] for dates that people see or that are stored, and [`Clock::monotonic`] for
//! durations and deadlines. Not for: sleeping. Timers are tokio's, and the monotonic time here is
//! tokio's too, so that `tokio::time::pause` moves both together.
//!
//! # Guarantees
//!
//! - [`Clock::monotonic`] never goes back.
//! - [`Clock::wall`] may jump in either direction: users set clocks, NTP steps them, machines
//!   sleep. [`ManualClock::shift_wall`] lets a test do the same.
//! - [`SystemClock`] is a zero-sized type and reads are not cached.
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::{Duration, SystemTime}};
//! use steadfast_clock::{Clock, ManualClock};
//!
//! struct Session { clock: Arc<dyn Clock>, expires: SystemTime }
//!
//! impl Session {
//!     fn is_expired(&self) -> bool { self.clock.wall() >= self.expires }
//! }
//!
//! let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
//! let session = Session {
//!     expires: clock.wall() + Duration::from_secs(60),
//!     clock: clock.clone(),
//! };
//! assert!(!session.is_expired());
//! clock.advance(Duration::from_secs(60));
//! assert!(session.is_expired());
//! ```

mod clock;
mod manual;
mod system;

pub use clock::Clock;
pub use manual::ManualClock;
pub use system::SystemClock;
pub use tokio::time::Instant;
