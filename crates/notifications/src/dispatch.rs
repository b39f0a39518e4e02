use jiff::Timestamp;

use crate::ChannelKind;

/// By which ways a notification reaches its user, and when.
///
/// The live push is always immediate: `at` and `digest` govern the deliveries to the user's own
/// channels, webhooks and mail addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// Which kinds of channels it goes to, each once.
    pub kinds: Vec<ChannelKind>,
    /// Before this nothing is delivered.
    pub at: Timestamp,
    /// Whether what is due on a channel at the same time goes out as one message.
    pub digest: bool,
}

impl Dispatch {
    /// To channels of these kinds, each notification alone, from `at` on.
    #[must_use]
    pub const fn single(kinds: Vec<ChannelKind>, at: Timestamp) -> Self {
        Self {
            kinds,
            at,
            digest: false,
        }
    }
}
