use std::time::Duration;

use crate::BuildError;

/// The longest time that any limit may name: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Every bound of a hub.
///
/// # Examples
///
/// ```
/// use steadfast_ws_hub::Limits;
///
/// let limits = Limits { connections_per_user: 4, ..Limits::default() };
/// assert_eq!(limits.message_bytes, 64 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all, those still opening included. 10 000.
    pub connections: usize,
    /// Registered connections of one user. 16.
    pub connections_per_user: usize,
    /// Connections from one address, those still opening included. 1 000.
    pub connections_per_address: usize,
    /// Subscriptions of one connection, server-side ones included. 128.
    pub subscriptions_per_connection: usize,
    /// Bytes in the name of a topic. 255.
    pub topic_bytes: usize,
    /// Bytes in one message from a client, and in one payload. 64 KiB.
    pub message_bytes: usize,
    /// Commands a second of one connection. 100.
    pub commands_per_second: u32,
    /// Commands of one connection at once, after a pause. 200.
    pub command_burst: u32,
    /// Messages waiting for one client. 1 024.
    pub queue_messages: usize,
    /// Bytes waiting for one client. 1 MiB. One reply carries at most half of it.
    pub queue_bytes: usize,
    /// Publications given back by one recovery. 1 000.
    pub recovery_messages: usize,
    /// From the first byte to the answered upgrade. 10 s.
    pub handshake_timeout: Duration,
    /// From the upgrade to the connect command. 10 s.
    pub connect_timeout: Duration,
    /// One call of the authenticator. 5 s.
    pub authenticate_timeout: Duration,
    /// One call of the authorizer, the history or the rpc handler. 5 s.
    pub command_timeout: Duration,
    /// Between two pings, varied by up to a tenth, but by no more than 5 s. 25 s.
    pub ping_interval: Duration,
    /// From a ping to any sign of life, at most `ping_interval`. 10 s.
    pub pong_timeout: Duration,
    /// How long the socket may take no byte. 10 s.
    pub write_timeout: Duration,
    /// From our close frame to the peer's. 5 s.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_user: 16,
            connections_per_address: 1_000,
            subscriptions_per_connection: 128,
            topic_bytes: 255,
            message_bytes: 64 * 1024,
            commands_per_second: 100,
            command_burst: 200,
            queue_messages: 1_024,
            queue_bytes: 1024 * 1024,
            recovery_messages: 1_000,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            authenticate_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// What one reply may carry in publications, or as the answer of an rpc.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.queue_bytes / 2
    }

    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        let counts = [
            ("connections", self.connections),
            ("connections_per_user", self.connections_per_user),
            ("connections_per_address", self.connections_per_address),
            (
                "subscriptions_per_connection",
                self.subscriptions_per_connection,
            ),
            ("topic_bytes", self.topic_bytes),
            ("message_bytes", self.message_bytes),
            ("commands_per_second", self.commands_per_second as usize),
            ("command_burst", self.command_burst as usize),
            ("queue_messages", self.queue_messages),
            ("queue_bytes", self.queue_bytes),
            ("recovery_messages", self.recovery_messages),
        ];
        let times = [
            ("handshake_timeout", self.handshake_timeout),
            ("connect_timeout", self.connect_timeout),
            ("authenticate_timeout", self.authenticate_timeout),
            ("command_timeout", self.command_timeout),
            ("ping_interval", self.ping_interval),
            ("pong_timeout", self.pong_timeout),
            ("write_timeout", self.write_timeout),
            ("close_timeout", self.close_timeout),
        ];
        let zero_count = counts.iter().find(|(_, n)| *n == 0).map(|(field, _)| field);
        let zero_time = times.iter().find(|(_, t)| t.is_zero()).map(|(f, _)| f);
        if let Some(field) = zero_count.or(zero_time) {
            return Err(BuildError::Zero { field });
        }
        let too_long = times.iter().find(|(_, time)| *time > LONGEST);
        if let Some(&(field, _)) = too_long {
            return Err(BuildError::TooLong {
                field,
                max: LONGEST,
            });
        }
        // The next ping waits for the answer to the last: clients are told of the interval.
        if self.pong_timeout > self.ping_interval {
            return Err(BuildError::TooLong {
                field: "pong_timeout",
                max: self.ping_interval,
            });
        }
        // A connection does not read while a port works for it.
        if self.command_timeout >= self.pong_timeout {
            return Err(BuildError::OutlastsHeartbeat {
                field: "command_timeout",
                pong_timeout: self.pong_timeout,
            });
        }
        if self.connections > u32::MAX as usize {
            return Err(BuildError::TooLarge {
                field: "connections",
                max: u32::MAX as usize,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_are_valid() {
        assert_eq!(Limits::default().validate(), Ok(()));
    }

    #[test]
    fn zero_limit_is_refused_by_name() {
        let limits = Limits {
            queue_bytes: 0,
            ..Limits::default()
        };
        let field = "queue_bytes";
        assert_eq!(limits.validate(), Err(BuildError::Zero { field }));
        let limits = Limits {
            write_timeout: Duration::ZERO,
            ..Limits::default()
        };
        let field = "write_timeout";
        assert_eq!(limits.validate(), Err(BuildError::Zero { field }));
    }

    #[test]
    fn time_too_long_to_be_kept_is_refused_by_name() {
        let endless = Limits {
            connect_timeout: Duration::MAX,
            ..Limits::default()
        };
        let late = Limits {
            ping_interval: Duration::from_secs(9),
            ..Limits::default()
        };
        for (limits, name, longest) in [
            (endless, "connect_timeout", LONGEST),
            (late, "pong_timeout", Duration::from_secs(9)),
        ] {
            let (field, max) = (name, longest);
            assert_eq!(limits.validate(), Err(BuildError::TooLong { field, max }));
        }
    }

    #[test]
    fn command_timeout_beyond_the_heartbeat_is_refused() {
        let limits = Limits {
            command_timeout: Duration::from_secs(10),
            ..Limits::default()
        };
        assert!(matches!(
            limits.validate(),
            Err(BuildError::OutlastsHeartbeat { .. })
        ));
    }
}
