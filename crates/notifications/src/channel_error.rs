use thiserror::Error;

use crate::{ChannelId, DeliveryId, DeliveryState, Invalid, PortError};

/// Why a call of [`Channels`](crate::Channels) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// What was sent is not valid.
    #[error(transparent)]
    Validate(Invalid),
    /// The user has no such channel.
    #[error("there is no channel {id}")]
    Find {
        /// The id that was looked for.
        id: ChannelId,
    },
    /// The user has no such delivery.
    #[error("there is no delivery {id}")]
    FindDelivery {
        /// The id that was looked for.
        id: DeliveryId,
    },
    /// The channel has changed since the caller saw it.
    #[error("version {expected} was expected, but {actual} is stored")]
    VersionMismatch {
        /// The version that the caller expected.
        expected: u64,
        /// The stored version.
        actual: u64,
    },
    /// The user has as many channels as allowed.
    #[error("the limit of {limit} channels is reached")]
    LimitReached {
        /// How many a user may have.
        limit: u32,
    },
    /// Only webhooks have a secret.
    #[error("channel {id} has no secret, only webhooks do")]
    NoSecret {
        /// Which one.
        id: ChannelId,
    },
    /// Only dead letters are tried again by hand.
    #[error("delivery {id} is {}, only dead ones can be retried", state.name())]
    NotDead {
        /// Which one.
        id: DeliveryId,
        /// What it is instead.
        state: DeliveryState,
    },
    /// The channel of a dead letter is gone or disabled.
    #[error("the channel of delivery {id} is deleted or disabled")]
    NoChannel {
        /// Which one.
        id: DeliveryId,
    },
    /// The store, or the source of secrets, failed.
    #[error("could not {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}
