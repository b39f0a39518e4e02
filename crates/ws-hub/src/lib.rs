//! A WebSocket hub on tokio-tungstenite: consistent subscriptions, bounded slow clients, recovery,
//! clean shutdown.
//!
//! For: pushing messages to many connected clients, by topic and by user, such that a client that
//! was cut off gets what it missed, a client that does not read harms nobody else, and a shutdown
//! leaves nothing behind. The wire is the JSON client protocol of Centrifuge
//! (<https://centrifugal.dev/docs/transports/client_protocol>), so that its SDKs that speak JSON,
//! JavaScript, Python and Go among them, connect unchanged; those that speak only Protobuf, as
//! Dart's does, do not. Not for: request and response APIs, binary
//! protocols, or storing messages; a [`History`] that lasts is plugged in.
//!
//! # Guarantees
//!
//! - Who is connected, whose a connection is and what it listens to agree at every moment; a
//!   closed connection is in no index. A user never has more connections than allowed.
//! - Nothing unauthenticated is registered. [`Observer::on_close`] follows [`Observer::on_open`]
//!   exactly once.
//! - After a subscription is acknowledged every later publication arrives; after its end is
//!   acknowledged none does. Each subscriber of a topic sees the same order.
//! - Topics with a [`History`] are delivered by offset: no duplicate and no silent hole. Recovery
//!   is all or nothing, and says which. Other topics are delivered at most once.
//! - What waits for a client is bounded in messages and bytes; a client beyond it is disconnected
//!   (3008) and finds its way back by recovery. A client without a sign of life is evicted (3012).
//! - Every bound is a field of [`Limits`]. The hub owns its tasks: after [`Hub::stop`] there are
//!   none, and [`Hub::start`] works again.
//!
//! Commands that are not served (presence, history, refresh) are answered with error 108.
//! Compression is not negotiated: tokio-tungstenite has none.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | [`HubUpgrade`] as an extractor, [`Refusal`] as a response |
//! | `mocks` | mockall doubles of the ports |
//! | `test-util` | fakes of the ports, and the suite that every [`History`] must pass |
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use steadfast_ws_hub::{
//!     AuthenticateError, Authenticator, Handshake, Hub, Identity, Payload,
//! };
//!
//! struct Tokens;
//!
//! #[async_trait::async_trait]
//! impl Authenticator for Tokens {
//!     async fn handshake(&self, _: &Handshake) -> Result<Option<Identity>, AuthenticateError> {
//!         Ok(None) // the token of the connect command decides
//!     }
//!
//!     async fn token(&self, _: &Handshake, token: &str) -> Result<Identity, AuthenticateError> {
//!         match token {
//!             "secret" => Ok(Identity::new("alice").subscribed_to("user:alice")),
//!             _ => Err(AuthenticateError::Rejected),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().authenticator(Arc::new(Tokens)).build()?;
//! hub.start().await;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = hub.serve(listener);
//! let publishing = async {
//!     let data = Payload::encode(&["hello"])?;
//!     let published = hub.publish("user:alice", data).await?;
//!     assert_eq!(published.receivers, 0); // nobody is connected
//!     hub.stop(Duration::from_secs(5)).await;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! let (served, published) = tokio::join!(serving, publishing);
//! served?;
//! published?;
//! # Ok(()) }
//! ```
//!
//! A chat room in one screen is in `examples/chat.rs`.

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
