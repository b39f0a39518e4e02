use std::sync::Arc;

/// Why [`InitCell::get_or_init`](crate::InitCell::get_or_init) gave no value.
///
/// Every caller that joined an attempt gets a clone of the same error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError<E> {
    /// The attempt failed; the next call starts a new one.
    #[error("initialisation failed")]
    Failed(#[source] Arc<E>),
    /// The attempt panicked; the next call starts a new one.
    #[error("initialisation panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: Arc<str>,
    },
    /// [`InitCell::reset`](crate::InitCell::reset) was called during the attempt.
    #[error("the cell was reset during initialisation")]
    Reset,
    /// An attempt is in flight and the caller asked not to join it.
    #[error("initialisation is already in progress")]
    AlreadyInProgress,
    /// The attempt waits for its own outcome, which would never come.
    #[error("initialisation waits for itself")]
    Recursive,
}

impl<E> Clone for InitError<E> {
    fn clone(&self) -> Self {
        match self {
            InitError::Failed(error) => InitError::Failed(Arc::clone(error)),
            InitError::Panicked { message } => InitError::Panicked {
                message: Arc::clone(message),
            },
            InitError::Reset => InitError::Reset,
            InitError::AlreadyInProgress => InitError::AlreadyInProgress,
            InitError::Recursive => InitError::Recursive,
        }
    }
}

/// Why [`SingleFlight::run`](crate::SingleFlight::run) returned no value.
///
/// Every caller that joined a flight gets a clone of the same error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlightError<E> {
    /// The work failed; the next call starts it anew.
    #[error("the shared work failed")]
    Failed(#[source] Arc<E>),
    /// The work panicked; the next call starts it anew.
    #[error("the shared work panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: Arc<str>,
    },
    /// The work waits for its own outcome, which would never come.
    #[error("the shared work waits for itself")]
    Recursive,
}

impl<E> Clone for FlightError<E> {
    fn clone(&self) -> Self {
        match self {
            FlightError::Failed(error) => FlightError::Failed(Arc::clone(error)),
            FlightError::Panicked { message } => FlightError::Panicked {
                message: Arc::clone(message),
            },
            FlightError::Recursive => FlightError::Recursive,
        }
    }
}
