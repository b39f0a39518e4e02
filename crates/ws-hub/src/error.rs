use std::{error::Error, time::Duration};

/// Why a [`Payload`](crate::Payload) could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value cannot be written as JSON.
    #[error("cannot encode the payload as JSON")]
    Encode {
        /// What the encoder says.
        #[source]
        source: serde_json::Error,
    },
    /// The text is not one JSON value.
    #[error("the payload is not one JSON value")]
    Parse {
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
}

/// What the implementation of a port reports when it cannot do its work.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct PortError {
    operation: &'static str,
    transient: bool,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// A failure that may be gone on the next try.
    pub fn transient(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            transient: true,
            source: source.into(),
        }
    }

    /// A failure that stays until somebody acts.
    pub fn permanent(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            transient: false,
            source: source.into(),
        }
    }

    /// May the same call succeed later?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

/// Why an [`Authenticator`](crate::Authenticator) did not name an identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticateError {
    /// The credentials are wrong or missing.
    #[error("credentials rejected")]
    Rejected,
    /// The credentials were right once: the client should fetch new ones.
    #[error("credentials expired")]
    Expired,
    /// It cannot tell.
    #[error("authentication unavailable")]
    Unavailable {
        /// What failed.
        #[source]
        source: PortError,
    },
}

/// An error that an [`RpcHandler`](crate::RpcHandler) sends to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc refused with {code}: {message}")]
pub struct RpcError {
    /// An application's own code, 400–1999.
    pub code: u32,
    /// A short text for people.
    pub message: String,
    /// May the same call succeed later?
    pub temporary: bool,
}

/// A setting that [`HubBuilder::build`](crate::HubBuilder::build) refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit that must be above zero is zero.
    #[error("`{field}` must be above zero")]
    Zero {
        /// The field's name.
        field: &'static str,
    },
    /// A port that must be given was not.
    #[error("`{field}` must be set")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A limit is above what the hub can hold to.
    #[error("`{field}` must be at most {max}")]
    TooLarge {
        /// The field's name.
        field: &'static str,
        /// The largest value.
        max: usize,
    },
    /// A limit in time is longer than the hub, or another limit, allows.
    #[error("`{field}` must be at most {max:?}")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// The longest time.
        max: Duration,
    },
    /// A port call could outlast the deadline after which a silent client is evicted.
    #[error("`{field}` must be shorter than `pong_timeout` ({pong_timeout:?})")]
    OutlastsHeartbeat {
        /// The field's name.
        field: &'static str,
        /// The deadline.
        pong_timeout: Duration,
    },
    /// The limit on commands cannot be counted.
    #[error("`commands_per_second` and `command_burst` make no rate")]
    CommandRate {
        /// What the rate limiter says.
        #[source]
        source: steadfast_sync::ConfigError,
    },
    /// An allowed origin is neither `*` nor `scheme://host[:port]`.
    #[error("origin {origin:?} is not of the form scheme://host[:port]")]
    Origin {
        /// The origin as given.
        origin: String,
    },
}

/// Why a publication was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name is empty or too long.
    #[error("topic name has {len} bytes, allowed are 1 to {max}")]
    TopicName {
        /// Bytes in the name.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The payload is too large.
    #[error("payload has {len} bytes, allowed are {max}")]
    TooLarge {
        /// Bytes in the payload.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Too many publishers wait for their turn on this topic.
    #[error("no turn to publish on topic {topic:?}")]
    Busy {
        /// The topic.
        topic: String,
        /// What the lock says.
        #[source]
        source: steadfast_sync::LockError,
    },
    /// The topic has no history, so that there are no offsets to deliver by.
    #[error("topic {topic:?} has no history")]
    NoHistory {
        /// The topic.
        topic: String,
    },
    /// The history did not store it.
    #[error("publication on topic {topic:?} was not stored")]
    Append {
        /// The topic.
        topic: String,
        /// What the history says.
        #[source]
        source: PortError,
    },
}

/// Why [`Hub::serve`](crate::Hub::serve) ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The hub is not started.
    #[error("the hub is not running")]
    NotRunning,
}

/// Why a client is refused before its WebSocket opens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The hub is not started, or shuts down: 503.
    #[error("the hub is not running")]
    NotRunning,
    /// The request is no WebSocket upgrade of version 13: 426.
    #[error("not a websocket upgrade: {problem}")]
    NotAnUpgrade {
        /// What is missing.
        problem: &'static str,
    },
    /// The `Origin` header is not in the allow-list: 403.
    #[error("origin {origin:?} is not allowed")]
    Origin {
        /// The header.
        origin: String,
    },
    /// The hub, or this address, has as many connections as it may have: 503 or 429.
    #[error("too many connections {scope}")]
    Capacity {
        /// `in all` or `from this address`.
        scope: &'static str,
    },
    /// The credentials were not accepted: 401 or 503.
    #[error("not authenticated")]
    Authenticate {
        /// What the authenticator says.
        #[source]
        source: AuthenticateError,
    },
}

impl Refusal {
    /// The answer to the upgrade request.
    #[must_use]
    pub fn response(&self) -> http::Response<String> {
        let mut response = http::Response::new(self.to_string());
        *response.status_mut() = self.status();
        if let Self::NotAnUpgrade { .. } = self {
            let version = http::HeaderValue::from_static("13");
            let headers = response.headers_mut();
            headers.insert(http::header::SEC_WEBSOCKET_VERSION, version);
        }
        response
    }

    fn status(&self) -> http::StatusCode {
        use http::StatusCode;
        match self {
            Self::NotRunning
            | Self::Authenticate {
                source: AuthenticateError::Unavailable { .. },
            }
            | Self::Capacity { scope: IN_ALL } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAnUpgrade { .. } => StatusCode::UPGRADE_REQUIRED,
            Self::Origin { .. } => StatusCode::FORBIDDEN,
            Self::Capacity { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Authenticate { .. } => StatusCode::UNAUTHORIZED,
        }
    }
}

/// [`Refusal::Capacity`] of the hub.
pub(crate) const IN_ALL: &str = "in all";
/// [`Refusal::Capacity`] of one address.
pub(crate) const FROM_ADDRESS: &str = "from this address";
