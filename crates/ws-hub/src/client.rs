use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::SystemTime};

/// Names one connection of one hub.
///
/// Minted by the server. Slots are used again, generations are not, so that a late clean-up of an
/// old connection never hits the one that took its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.slot, self.generation)
    }
}

/// The text is no [`ConnectionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a connection id")]
pub struct ParseConnectionIdError;

impl FromStr for ConnectionId {
    type Err = ParseConnectionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (slot, generation) = text.split_once('-').ok_or(ParseConnectionIdError)?;
        let hex = |part| u32::from_str_radix(part, 16).map_err(|_| ParseConnectionIdError);
        Ok(Self {
            slot: hex(slot)?,
            generation: hex(generation)?,
        })
    }
}

/// A registered connection, as observers and operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The connection.
    pub id: ConnectionId,
    /// Whose it is.
    pub user: Arc<str>,
    /// Address of the peer, where it is known.
    pub remote: Option<SocketAddr>,
    /// When it was registered.
    pub since: SystemTime,
}

/// One page of [`Hub::clients`](crate::Hub::clients).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPage {
    /// Clients in the order of their ids.
    pub clients: Vec<ClientInfo>,
    /// Pass it as `after` for the next page; `None` at the end.
    pub next: Option<ConnectionId>,
}

/// Whom an operator's verb concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Each connection of a user.
    User(&'a str),
    /// One connection.
    Connection(ConnectionId),
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(user: &'a str) -> Self {
        Self::User(user)
    }
}

impl From<ConnectionId> for Target<'_> {
    fn from(id: ConnectionId) -> Self {
        Self::Connection(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_id_survives_text() {
        let id = ConnectionId {
            slot: 255,
            generation: 7,
        };
        assert_eq!(id.to_string(), "ff-7");
        assert_eq!("ff-7".parse(), Ok(id));
        assert_eq!("ff".parse::<ConnectionId>(), Err(ParseConnectionIdError));
    }
}
