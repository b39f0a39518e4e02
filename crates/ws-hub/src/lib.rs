//! A WebSocket hub on tokio-tungstenite: consistent subscriptions, bounded slow clients, recovery, clean shutdown.

mod attend;
mod builder;
mod client;
mod connection;
mod delivery;
mod disconnect;
mod error;
mod heartbeat;
mod hub;
mod identity;
mod limits;
mod lock;
mod memory_history;
mod origins;
mod outbox;
mod payload;
mod places;
mod ports;
mod protocol;
mod publication;
mod recovery;
mod registry;
mod repair;
mod run;
mod serve;
mod session;
mod shared;
mod slots;
mod socket;
mod stats;
mod subscription;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod topic;
mod upgrade;

pub use builder::HubBuilder;
pub use client::{ClientInfo, ClientPage, ConnectionId, ParseConnectionIdError, Target};
pub use disconnect::Disconnect;
pub use error::{
    AuthenticateError, BuildError, PayloadError, PortError, PublishError, Refusal, RpcError,
    ServeError,
};
pub use hub::{Hub, Published};
pub use identity::{Handshake, Identity};
pub use limits::Limits;
pub use memory_history::MemoryHistory;
pub use payload::Payload;
pub use ports::{Authenticator, Authorizer, History, Observer, RpcHandler};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockAuthenticator, MockAuthorizer, MockHistory, MockObserver, MockRpcHandler};
pub use publication::{HistoryPage, Publication, StreamPosition};
pub use stats::{HubStats, ShutdownReport};
pub use upgrade::HubUpgrade;
