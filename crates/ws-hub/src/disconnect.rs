use std::{borrow::Cow, fmt};

/// Why the server ends a connection: the code and reason of the close frame.
///
/// Clients come back after 3000–3499 and 4000–4499; 3500–3999 and 4500–4999 are terminal. An
/// application's own codes are 4000–4999.
///
/// Source: the disconnect codes of the Centrifuge client protocol,
/// <https://centrifugal.dev/docs/server/codes>.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnect {
    /// The close code.
    pub code: u16,
    /// A short text for people, under 124 bytes.
    pub reason: Cow<'static, str>,
}

impl Disconnect {
    /// The client went away, or the connection broke.
    pub const CONNECTION_CLOSED: Self = Self::known(3000, "connection closed");
    /// The server shuts down.
    pub const SHUTDOWN: Self = Self::known(3001, "shutdown");
    /// Something failed in the server.
    pub const SERVER_ERROR: Self = Self::known(3004, "internal server error");
    /// The identity expired.
    pub const EXPIRED: Self = Self::known(3005, "connection expired");
    /// The client reads too slowly.
    pub const SLOW: Self = Self::known(3008, "slow");
    /// Writing to the socket failed.
    pub const WRITE_ERROR: Self = Self::known(3009, "write error");
    /// A stream cannot be continued without a hole: the client recovers when it is back.
    pub const INSUFFICIENT_STATE: Self = Self::known(3010, "insufficient state");
    /// An operator asks the client to connect again.
    pub const FORCE_RECONNECT: Self = Self::known(3011, "force reconnect");
    /// No sign of life within the deadline after a ping.
    pub const NO_PONG: Self = Self::known(3012, "no pong");
    /// The token, or the lack of one, was rejected.
    pub const INVALID_TOKEN: Self = Self::known(3500, "invalid token");
    /// A malformed frame, or commands in the wrong order.
    pub const BAD_REQUEST: Self = Self::known(3501, "bad request");
    /// No connect command within the deadline.
    pub const STALE: Self = Self::known(3502, "stale");
    /// An operator asks the client to stay away.
    pub const FORCE_NO_RECONNECT: Self = Self::known(3503, "force disconnect");
    /// The user has too many connections.
    pub const CONNECTION_LIMIT: Self = Self::known(3504, "connection limit");
    /// Invalid UTF-8 in a text frame (RFC 6455, section 7.4.1).
    pub const INVALID_DATA: Self = Self::known(1007, "invalid data");
    /// A violation of the WebSocket protocol (RFC 6455, section 7.4.1).
    pub const PROTOCOL_ERROR: Self = Self::known(1002, "protocol error");
    /// A message above the limit (RFC 6455, section 7.4.1).
    pub const MESSAGE_TOO_BIG: Self = Self::known(1009, "message size limit");

    const fn known(code: u16, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
        }
    }

    /// A disconnect with an application's own code, 4000–4999.
    ///
    /// The reason is cut to 123 bytes, the most that a close frame carries (RFC 6455, section
    /// 5.5). An empty one becomes `disconnect`: the JavaScript SDK comes back after a terminal
    /// code without a reason. `None` if the code is outside the range.
    #[must_use]
    pub fn custom(code: u16, reason: impl Into<String>) -> Option<Self> {
        let mut reason: String = reason.into();
        if reason.is_empty() {
            reason.push_str("disconnect");
        }
        reason.truncate(reason.floor_char_boundary(123));
        (4000..5000).contains(&code).then_some(Self {
            code,
            reason: Cow::Owned(reason),
        })
    }

    /// Does the client not read, so that nothing more is written for it?
    pub(crate) fn is_eviction(&self) -> bool {
        *self == Self::SLOW || *self == Self::NO_PONG
    }

    /// Does the code tell clients not to come back?
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_codes_are_the_upper_halves() {
        assert!(!Disconnect::SHUTDOWN.is_terminal());
        assert!(Disconnect::INVALID_TOKEN.is_terminal());
        let custom = |code| Disconnect::custom(code, "x").map(|d| d.is_terminal());
        assert_eq!(custom(4499), Some(false));
        assert_eq!(custom(4500), Some(true));
        assert_eq!((custom(3999), custom(5000)), (None, None));
    }

    #[test]
    fn long_reason_is_cut_at_a_character_boundary() {
        let disconnect = Disconnect::custom(4000, "é".repeat(100)).unwrap();
        assert_eq!(disconnect.reason.len(), 122);
    }

    #[test]
    fn reason_is_never_empty() {
        let disconnect = Disconnect::custom(4500, "").unwrap();
        assert_eq!(disconnect.reason, "disconnect");
    }
}
