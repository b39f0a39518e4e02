use std::{fmt, net::SocketAddr, time::SystemTime};

use http::{HeaderMap, Uri};

use crate::Payload;

/// Who is behind a connection, as the [`Authenticator`](crate::Authenticator) found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user's id: what limits per user and [`Hub::disconnect`](crate::Hub::disconnect) go by.
    pub user: String,
    /// When the connection must end (code 3005), by wall time.
    pub expires: Option<SystemTime>,
    /// Topics the server subscribes the connection to, without asking the authorizer.
    pub server_subscriptions: Vec<String>,
    /// What the credentials allow, for the [`Authorizer`](crate::Authorizer); the hub does not
    /// read it.
    pub scopes: Vec<String>,
    /// Told to the client in the connect reply (`data`).
    pub info: Option<Payload>,
}

impl Identity {
    /// An identity that never expires, with no server-side subscription and no scope.
    #[must_use]
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            expires: None,
            server_subscriptions: Vec::new(),
            scopes: Vec::new(),
            info: None,
        }
    }

    /// Ends the connection at `expires`.
    #[must_use]
    pub fn expires_at(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    /// Adds a server-side subscription.
    #[must_use]
    pub fn subscribed_to(mut self, topic: impl Into<String>) -> Self {
        self.server_subscriptions.push(topic.into());
        self
    }

    /// Replaces the scopes.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what the client is told in the connect reply.
    #[must_use]
    pub fn with_info(mut self, info: Payload) -> Self {
        self.info = Some(info);
        self
    }
}

/// What is known of a client before its WebSocket opens.
///
/// Printed for debugging it shows neither header values nor the query: they carry credentials.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Handshake {
    /// Path and query of the request.
    pub uri: Uri,
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Address of the peer, where the caller knows it; limits per address go by it.
    pub remote: Option<SocketAddr>,
    /// Set by callers that have authenticated the request themselves: the authenticator is then
    /// not asked about the handshake.
    pub identity: Option<Identity>,
}

impl Handshake {
    /// A handshake for `uri` with these headers.
    #[must_use]
    pub fn new(uri: Uri, headers: HeaderMap) -> Self {
        Self {
            uri,
            headers,
            remote: None,
            identity: None,
        }
    }

    /// Sets the peer's address.
    #[must_use]
    pub fn from_address(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Sets an identity that is already established.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The first value of the query parameter `name`, as it was sent (not percent-decoded).
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.uri
            .query()?
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.uri.path())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("remote", &self.remote)
            .field("identity", &self.identity)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameter_is_found_by_its_whole_name() {
        let uri = "/ws?ticketed=no&ticket=a=b&ticket=second".parse().unwrap();
        let handshake = Handshake::new(uri, HeaderMap::new());
        assert_eq!(handshake.query("ticket"), Some("a=b"));
        assert_eq!(handshake.query("tick"), None);
    }

    #[test]
    fn debug_output_shows_no_credentials() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer hush".parse().unwrap());
        let uri = "/ws?ticket=hush".parse().unwrap();
        let shown = format!("{:?}", Handshake::new(uri, headers));
        assert!(shown.contains("/ws") && shown.contains("authorization"));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
