use std::net::SocketAddr;

use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{Handshake, Identity, Refusal};

/// A request that asks for a WebSocket, checked and ready for [`Hub::upgrade`](crate::Hub::upgrade).
#[derive(Debug)]
pub struct HubUpgrade {
    pub(crate) handshake: Handshake,
    pub(crate) accept_key: String,
    pub(crate) on_upgrade: OnUpgrade,
}

impl HubUpgrade {
    /// Takes the upgrade out of a request, as hyper's server hands it over.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAnUpgrade`] names what is missing.
    pub fn from_request<B>(request: &mut http::Request<B>) -> Result<Self, Refusal> {
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        Self::new(
            request.method(),
            request.uri(),
            request.headers(),
            on_upgrade,
        )
    }

    /// Sets the peer's address.
    #[must_use]
    pub fn from_address(mut self, remote: SocketAddr) -> Self {
        self.handshake.remote = Some(remote);
        self
    }

    /// Sets an identity that is already established.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        self.handshake.identity = Some(identity);
        self
    }

    /// What the client sent.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// RFC 6455, section 4.2.1.
    fn new(
        method: &http::Method,
        uri: &http::Uri,
        headers: &http::HeaderMap,
        on_upgrade: Option<OnUpgrade>,
    ) -> Result<Self, Refusal> {
        let refuse = |problem| Err(Refusal::NotAnUpgrade { problem });
        if method != http::Method::GET {
            return refuse("the method is not GET");
        }
        if !has_token(headers, &http::header::CONNECTION, "upgrade") {
            return refuse("no `Connection: upgrade`");
        }
        if !has_token(headers, &http::header::UPGRADE, "websocket") {
            return refuse("no `Upgrade: websocket`");
        }
        if !has_token(headers, &http::header::SEC_WEBSOCKET_VERSION, "13") {
            return refuse("`Sec-WebSocket-Version` is not 13");
        }
        let Some(key) = headers.get(http::header::SEC_WEBSOCKET_KEY) else {
            return refuse("no `Sec-WebSocket-Key`");
        };
        // 16 bytes in base64.
        if key.len() != 24 || !key.as_bytes().ends_with(b"==") {
            return refuse("`Sec-WebSocket-Key` is not 16 bytes in base64");
        }
        let Some(on_upgrade) = on_upgrade else {
            return refuse("the server cannot upgrade this connection");
        };
        Ok(Self {
            handshake: Handshake::new(uri.clone(), headers.clone()),
            accept_key: derive_accept_key(key.as_bytes()),
            on_upgrade,
        })
    }
}

/// Is `token` in the comma-separated header?
fn has_token(headers: &http::HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(feature = "axum")]
mod axum_extractor {
    use std::net::SocketAddr;

    use axum::{
        extract::{ConnectInfo, FromRequestParts},
        response::{IntoResponse, Response},
    };
    use http::request::Parts;

    use super::{HubUpgrade, OnUpgrade};
    use crate::Refusal;

    /// Takes the peer's address from [`ConnectInfo<SocketAddr>`] where the server provides it.
    impl<S: Send + Sync> FromRequestParts<S> for HubUpgrade {
        type Rejection = Refusal;

        async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
            let on_upgrade = parts.extensions.remove::<OnUpgrade>();
            let upgrade = Self::new(&parts.method, &parts.uri, &parts.headers, on_upgrade)?;
            Ok(match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
                Some(ConnectInfo(remote)) => upgrade.from_address(*remote),
                None => upgrade,
            })
        }
    }

    impl IntoResponse for Refusal {
        fn into_response(self) -> Response {
            self.response().into_response()
        }
    }
}
