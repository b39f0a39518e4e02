//! A WebSocket hub on tokio-tungstenite: consistent subscriptions, bounded slow clients, recovery, clean shutdown.

mod client;
mod disconnect;
mod error;
mod hub;
mod identity;
mod limits;
mod payload;
mod ports;
mod publication;
mod stats;
mod upgrade;

pub use client::{ClientInfo, ClientPage, ConnectionId, ParseConnectionIdError, Target};
pub use disconnect::Disconnect;
pub use error::{
    AuthenticateError, BuildError, PayloadError, PortError, PublishError, Refusal, RpcError,
    ServeError,
};
pub use hub::{Hub, HubBuilder, Published};
pub use identity::{Handshake, Identity};
pub use limits::Limits;
pub use payload::Payload;
pub use ports::{Authenticator, Authorizer, History, Observer, RpcHandler};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockAuthenticator, MockAuthorizer, MockHistory, MockObserver, MockRpcHandler};
pub use publication::{HistoryPage, Publication, StreamPosition};
pub use stats::{HubStats, ShutdownReport};
pub use upgrade::HubUpgrade;
