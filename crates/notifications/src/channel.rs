use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ChannelId, ChannelKind, UserId};

/// How many channels a user may have.
pub const MAX_CHANNELS: u32 = 10;

/// A place of a user's own to which notifications are delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Channel {
    /// Names the channel.
    pub id: ChannelId,
    /// Starts at one and grows by one with each change.
    pub version: u64,
    /// Whose it is.
    pub user_id: UserId,
    /// What the user calls it.
    pub name: String,
    /// Where it leads to.
    #[serde(flatten)]
    pub target: ChannelTarget,
    /// Whether anything is delivered to it.
    pub enabled: bool,
    /// When it was created.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
}

/// Where a [`Channel`] leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChannelTarget {
    /// A program's HTTP endpoint.
    Webhook {
        /// Where each message is posted to.
        url: String,
    },
    /// A mailbox.
    Email {
        /// Its address.
        address: String,
    },
}

/// The key that signs what goes to a webhook; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A channel with its secret, as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChannel {
    /// What everybody who may see the channel may see.
    pub channel: Channel,
    /// What signs its messages; only webhooks have one.
    pub secret: Option<Secret>,
}

/// What a user says to create a [`Channel`]; not validated yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewChannel {
    /// `webhook` or `email`.
    pub kind: ChannelKind,
    /// See [`Channel::name`].
    pub name: String,
    /// The URL of a webhook.
    #[serde(default)]
    pub url: Option<String>,
    /// The address of a mailbox.
    #[serde(default)]
    pub address: Option<String>,
    /// See [`Channel::enabled`]; true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

/// A partial change of a [`Channel`]; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelPatch {
    /// See [`Channel::name`].
    pub name: Option<String>,
    /// The URL of a webhook.
    pub url: Option<String>,
    /// The address of a mailbox.
    pub address: Option<String>,
    /// See [`Channel::enabled`].
    pub enabled: Option<bool>,
}

impl ChannelTarget {
    /// The kind of channel.
    #[must_use]
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Email { .. } => ChannelKind::Email,
        }
    }

    /// The URL or the address.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Webhook { url } => url,
            Self::Email { address } => address,
        }
    }

    /// The target of that kind and text; nothing leads to [`ChannelKind::Ws`].
    #[must_use]
    pub fn new(kind: ChannelKind, text: String) -> Option<Self> {
        match kind {
            ChannelKind::Webhook => Some(Self::Webhook { url: text }),
            ChannelKind::Email => Some(Self::Email { address: text }),
            ChannelKind::Ws => None,
        }
    }
}

impl Secret {
    /// Wraps a secret in the form in which its user gets it.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

const fn enabled() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_secret_shows_nothing_of_it() {
        let secret = Secret::new("whsec_aGVsbG8=".into());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.expose(), "whsec_aGVsbG8=");
    }

    #[test]
    fn target_is_flat_in_json() {
        let target = ChannelTarget::new(ChannelKind::Webhook, "https://a.example/".into());
        assert_eq!(
            serde_json::to_value(target).unwrap(),
            serde_json::json!({"kind": "webhook", "url": "https://a.example/"})
        );
        assert_eq!(ChannelTarget::new(ChannelKind::Ws, String::new()), None);
    }
}
