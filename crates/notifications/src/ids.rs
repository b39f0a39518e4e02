use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use steadfast_clock::Clock;
use uuid::Uuid;

use crate::IdSource;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// Who owns schedules and receives notifications.
    UserId
}

id! {
    /// Names one [`Schedule`](crate::Schedule).
    ScheduleId
}

id! {
    /// Names one [`Notification`](crate::Notification); clients deduplicate pushes on it.
    NotificationId
}

id! {
    /// Names one [`Channel`](crate::Channel).
    ChannelId
}

id! {
    /// Names one [`Delivery`](crate::Delivery); receivers deduplicate messages on it.
    DeliveryId
}

/// Makes UUIDv7 ids from a clock and a seeded generator, so that a run can be replayed.
///
/// Ids of one source are unique and strictly increasing, also within a millisecond and while the
/// wall clock goes back: the twelve bits after the millisecond hold its fraction, and a tick that
/// was used already is stepped past ([RFC 9562, 6.2, method 3](https://www.rfc-editor.org/rfc/rfc9562#section-6.2)).
/// The other 62 bits are random, so that ids of several sources do not collide.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::SystemTime};
/// use steadfast_clock::ManualClock;
/// use steadfast_notifications::{IdSource, V7Ids};
///
/// let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
/// let ids = V7Ids::new(clock, [7; 32]);
/// let (first, second) = (ids.next_id(), ids.next_id());
/// assert!(first < second);
/// assert_eq!(first.get_version_num(), 7);
/// ```
#[derive(Debug)]
pub struct V7Ids {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last tick given out, in 1/4096 of a millisecond since the epoch.
    last: u64,
    rng: StdRng,
}

impl V7Ids {
    /// A source that reads `clock` and draws its random bits from `seed`.
    ///
    /// Give it a seed from the operating system in production, and a fixed one in a test.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: [u8; 32]) -> Self {
        let rng = StdRng::from_seed(seed);
        Self {
            clock,
            state: Mutex::new(State { last: 0, rng }),
        }
    }
}

impl IdSource for V7Ids {
    fn next_id(&self) -> Uuid {
        let since_epoch = self
            .clock
            .wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let fraction = u64::from(since_epoch.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX >> 12);
        let now = (millis << 12) | fraction;

        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = now.max(state.last + 1);
        state.last = tick;
        let random = state.rng.next_u64();
        drop(state);

        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&((tick & 0xfff) as u16).to_be_bytes());
        tail[2..].copy_from_slice(&random.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(tick >> 12, &tail).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use steadfast_clock::ManualClock;

    use super::*;

    fn ids(clock: &Arc<ManualClock>) -> V7Ids {
        V7Ids::new(clock.clone(), [1; 32])
    }

    fn clock() -> Arc<ManualClock> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Arc::new(ManualClock::new(start))
    }

    #[test]
    fn ids_grow_while_the_clock_stands_still_or_goes_back() {
        let clock = clock();
        let ids = ids(&clock);
        let mut last = ids.next_id();
        for round in 0..10_000 {
            if round == 5_000 {
                clock.shift_wall(-3_600);
            }
            let next = ids.next_id();
            assert!(next > last, "{next} does not follow {last}");
            assert_eq!(
                (next.get_version_num(), next.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
            last = next;
        }
    }

    #[test]
    fn same_seed_and_time_gives_the_same_ids() {
        let (one, other) = (ids(&clock()), ids(&clock()));
        assert_eq!(one.next_id(), other.next_id());
    }

    #[test]
    fn id_carries_the_millisecond() {
        let id = ids(&clock()).next_id();
        assert_eq!(
            id.get_timestamp().map(|at| at.to_unix().0),
            Some(1_800_000_000)
        );
    }
}
