use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};

use crate::{Disconnect, Limits, connection::Connection, lock::lock};

const SLOTS: usize = 64;
/// Clients are told the plain interval, and wait no more than 10 s longer for a ping.
const MAX_JITTER: Duration = Duration::from_secs(5);

/// One timer for the pings, deadlines and expiries of all connections.
///
/// A wheel of slots that one task turns; a connection costs one small entry, and a turn looks at
/// its own slot only. Precise to one tick.
///
/// Source: Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987 (scheme 6).
#[derive(Debug)]
pub(crate) struct Heartbeat {
    clock: Arc<dyn Clock>,
    interval: Duration,
    timeout: Duration,
    pub(crate) tick: Duration,
    origin: Instant,
    wheel: Mutex<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    /// The next tick to turn to.
    now: u64,
    slots: [Vec<Entry>; SLOTS],
}

#[derive(Debug)]
struct Entry {
    connection: Weak<Connection>,
    due: u64,
    waits_for: Awaited,
}

#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// Time for a ping.
    Ping,
    /// A sign of life since this pulse, until this tick.
    Life { since: u32, until: u64 },
}

impl Heartbeat {
    pub(crate) fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        let shortest = limits.ping_interval.min(limits.pong_timeout);
        Self {
            origin: clock.monotonic(),
            clock,
            interval: limits.ping_interval,
            timeout: limits.pong_timeout,
            tick: (shortest / 10).clamp(Duration::from_millis(5), Duration::from_secs(1)),
            wheel: Mutex::new(Wheel {
                now: 0,
                slots: std::array::from_fn(|_| Vec::new()),
            }),
        }
    }

    /// Watches a connection from now until it is gone.
    pub(crate) fn watch(&self, connection: &Arc<Connection>) {
        let after = self.jittered(connection);
        let mut wheel = lock(&self.wheel);
        self.schedule(&mut wheel, connection, after, Awaited::Ping);
    }

    /// Turns the wheel up to the present.
    pub(crate) fn turn(&self) {
        let present = self.ticks(self.clock.monotonic() - self.origin);
        while let Some(due) = self.next_due(present) {
            for entry in due {
                if let Some(connection) = entry.connection.upgrade() {
                    self.visit(&connection, entry.waits_for);
                }
            }
        }
    }

    fn next_due(&self, present: u64) -> Option<Vec<Entry>> {
        let mut wheel = lock(&self.wheel);
        if wheel.now > present {
            return None;
        }
        let now = wheel.now;
        wheel.now += 1;
        let slot = &mut wheel.slots[now as usize % SLOTS];
        Some(slot.extract_if(.., |entry| entry.due <= now).collect())
    }

    fn visit(&self, connection: &Arc<Connection>, awaited: Awaited) {
        if connection.outbox.closing().is_some() {
            return;
        }
        if let Some(expires) = connection.expires
            && self.clock.wall() >= expires
        {
            connection.outbox.close(Disconnect::EXPIRED);
            return;
        }
        let pulse = connection.pulse();
        let (after, next) = match awaited {
            Awaited::Ping => {
                connection.outbox.ping();
                let (since, until) = (pulse, self.due(self.timeout));
                (self.timeout, Awaited::Life { since, until })
            }
            Awaited::Life { since, until } if since == pulse => {
                let present = self.ticks(self.clock.monotonic() - self.origin);
                if present >= until {
                    connection.outbox.evict(Disconnect::NO_PONG);
                    return;
                }
                // It came early, for an expiry that the clock has moved away again.
                let left = self.tick * (until - present).min(SLOTS as u64) as u32;
                (left, awaited)
            }
            Awaited::Life { .. } => {
                let rest = self.jittered(connection).saturating_sub(self.timeout);
                (rest, Awaited::Ping)
            }
        };
        let mut wheel = lock(&self.wheel);
        self.schedule(&mut wheel, connection, after, next);
    }

    fn schedule(
        &self,
        wheel: &mut Wheel,
        connection: &Arc<Connection>,
        after: Duration,
        waits_for: Awaited,
    ) {
        let expires = connection.expires.map(|expires| {
            let left = expires.duration_since(self.clock.wall());
            left.unwrap_or_default()
        });
        let due = self.due(expires.map_or(after, |left| after.min(left)));
        // Never the slot that was turned already.
        let due = due.max(wheel.now);
        wheel.slots[due as usize % SLOTS].push(Entry {
            connection: Arc::downgrade(connection),
            due,
            waits_for,
        });
    }

    /// The tick when `after` is over: rounded up, so that no deadline comes early.
    fn due(&self, after: Duration) -> u64 {
        let present = self.clock.monotonic() - self.origin;
        self.ticks(present + after) + 1
    }

    fn ticks(&self, time: Duration) -> u64 {
        (time.as_nanos() / self.tick.as_nanos()) as u64
    }

    /// The interval varied by up to a tenth, or [`MAX_JITTER`], by the connection's id: clients that come at once are
    /// not pinged at once.
    fn jittered(&self, connection: &Connection) -> Duration {
        let id = connection.id;
        let seed = u64::from(id.slot) << 32 | u64::from(id.generation ^ connection.pulse());
        let jitter = (self.interval / 10).min(MAX_JITTER);
        let permille = splitmix64(seed) % 1_001;
        self.interval - jitter + jitter / 500 * permille as u32
    }
}

/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use steadfast_clock::SystemClock;

    use super::*;
    use crate::{ConnectionId, connection::NewConnection, outbox::Outbox};

    #[test]
    fn pings_vary_but_never_come_later_than_clients_wait() {
        for (interval, most) in [(25, 2_500), (600, 5_000)] {
            let limits = Limits {
                ping_interval: Duration::from_secs(interval),
                ..Limits::default()
            };
            let heartbeat = Heartbeat::new(&limits, Arc::new(SystemClock));
            let late = (0..1_000).map(|slot| {
                let new = NewConnection {
                    user: "alice".into(),
                    remote: None,
                    since: SystemTime::UNIX_EPOCH,
                    expires: None,
                    outbox: Arc::new(Outbox::new(&limits)),
                };
                let generation = 1;
                let connection = Connection::new(ConnectionId { slot, generation }, new);
                let after = heartbeat.jittered(&connection).as_millis() as i64;
                after - limits.ping_interval.as_millis() as i64
            });
            let late: Vec<_> = late.collect();
            assert!(late.iter().all(|late| late.abs() <= most), "{interval}");
            assert!(late.iter().any(|late| *late > most / 2));
            assert!(late.iter().any(|late| *late < -most / 2));
        }
    }
}
