//! A chat room. Run it, then connect with a Centrifuge SDK, token = your name, channel `room`:
//!
//! ```js
//! const client = new Centrifuge("ws://127.0.0.1:8000", { token: "alice" });
//! const room = client.newSubscription("room", { recoverable: true });
//! room.on("publication", (message) => console.log(message.data));
//! room.subscribe(); client.connect(); await room.publish({ text: "hello" });
//! ```

use std::{error::Error, sync::Arc};

use steadfast_ws_hub::{
    AuthenticateError, Authenticator, Authorizer, Handshake, Hub, Identity, MemoryHistory,
    PortError,
};
use tokio::net::TcpListener;

/// Anybody is who they say they are, and everybody may enter the room.
struct Trusting;

#[async_trait::async_trait]
impl Authenticator for Trusting {
    async fn handshake(&self, _: &Handshake) -> Result<Option<Identity>, AuthenticateError> {
        Ok(None)
    }

    async fn token(&self, _: &Handshake, name: &str) -> Result<Identity, AuthenticateError> {
        Ok(Identity::new(name))
    }
}

#[async_trait::async_trait]
impl Authorizer for Trusting {
    async fn may_subscribe(&self, _: &Identity, topic: &str) -> Result<bool, PortError> {
        Ok(topic == "room")
    }

    async fn may_publish(&self, _: &Identity, topic: &str) -> Result<bool, PortError> {
        Ok(topic == "room")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::builder()
        .authenticator(Arc::new(Trusting))
        .authorizer(Arc::new(Trusting))
        .history(Arc::new(MemoryHistory::new(100)))
        .build()?;
    hub.start().await;
    println!("ws://127.0.0.1:8000");
    hub.serve(TcpListener::bind("127.0.0.1:8000").await?)
        .await?;
    Ok(())
}
