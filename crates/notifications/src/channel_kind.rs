use serde::{Deserialize, Serialize};

/// A way by which a notification reaches its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChannelKind {
    /// Live, to each of the user's connected clients.
    Ws,
    /// An HTTP request to each webhook of the user.
    Webhook,
    /// A message to each mail address of the user.
    Email,
}

impl ChannelKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Ws, Self::Webhook, Self::Email];

    /// The kind's name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for kind in ChannelKind::ALL {
            assert_eq!(json!(kind), json!(kind.name()));
            assert_eq!(ChannelKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ChannelKind::from_name("smoke"), None);
    }
}
