//! The ways to the users' channels.

mod address_guard;
mod webhook;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use steadfast_notifications::{
    ChannelSender, ChannelTarget, FieldError, Message, PortError, Secret, SecretSource, SendError,
    StoredChannel,
};

pub use address_guard::{AddressGuard, Network, NotANetwork};
pub use webhook::WebhookSender;

/// Sends to whatever kind of channel it is.
#[derive(Clone, Debug)]
pub struct Outbound {
    webhooks: WebhookSender,
}

impl Outbound {
    /// Posts to webhooks; there is no way to mailboxes yet.
    #[must_use]
    pub fn new(webhooks: WebhookSender) -> Self {
        Self { webhooks }
    }
}

#[async_trait]
impl ChannelSender for Outbound {
    fn check(&self, target: &ChannelTarget) -> Result<(), FieldError> {
        match target {
            ChannelTarget::Webhook { url } => self.webhooks.check(url),
            ChannelTarget::Email { .. } => Err(FieldError {
                pointer: "/kind".into(),
                detail: "email is not set up on this server".into(),
            }),
        }
    }

    fn endpoint(&self, target: &ChannelTarget) -> String {
        match target {
            ChannelTarget::Webhook { url } => WebhookSender::endpoint(url),
            ChannelTarget::Email { .. } => "mail".to_owned(),
        }
    }

    async fn send(&self, channel: &StoredChannel, message: &Message) -> Result<(), SendError> {
        match &channel.channel.target {
            ChannelTarget::Webhook { url } => {
                let secret = channel.secret.as_ref();
                self.webhooks.send(url, secret, message).await
            }
            ChannelTarget::Email { .. } => Err(SendError::Refused {
                cause: "email is not set up on this server".to_owned(),
            }),
        }
    }
}

/// Secrets of 32 random bytes of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSecrets;

impl SecretSource for SystemSecrets {
    fn next_secret(&self) -> Result<Secret, PortError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(PortError::transient)?;
        let text = format!("{}{}", webhook::SECRET_PREFIX, STANDARD.encode(bytes));
        Ok(Secret::new(text))
    }
}
