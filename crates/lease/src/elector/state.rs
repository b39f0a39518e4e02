use std::fmt;

/// What an [`Elector`](crate::Elector) does.
///
/// ```text
///    start
///      |
///      v      held by another, or trouble
///  Candidate ------------------------------> Follower
///    | ^  ^                                     |
///    | |  +---------- retry pause --------------+
///    | |
///    | +------------- retry pause --------------+
///    v granted                                  |
///  Leader ------------> StoppingWork -------> Released --> the end: shut down, or the work
///          lost, resigned,           work has              returned and that is to be the end
///          work returned             returned,
///                                    lease released
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElectorState {
    /// Another leads, or the backend could not tell; it pauses before it asks again.
    Follower,
    /// It asks for the lease.
    Candidate,
    /// The work runs under the lease.
    Leader {
        /// The fence of this term.
        fence: u64,
    },
    /// It leads no more, and waits for the work to return and for the release of the lease.
    StoppingWork {
        /// The fence of this term.
        fence: u64,
    },
    /// Its term is over. The lease was released, or is left to expire if the backend gave no
    /// answer. It pauses before it asks again, or has ended.
    Released,
}

impl ElectorState {
    /// Whether it leads.
    #[must_use]
    pub fn is_leader(self) -> bool {
        matches!(self, Self::Leader { .. })
    }

    /// The fence of the term, while its work runs.
    #[must_use]
    pub fn fence(self) -> Option<u64> {
        match self {
            Self::Leader { fence } | Self::StoppingWork { fence } => Some(fence),
            _ => None,
        }
    }
}

impl fmt::Display for ElectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follower => f.write_str("a follower"),
            Self::Candidate => f.write_str("a candidate"),
            Self::Leader { fence } => write!(f, "the leader with fence {fence}"),
            Self::StoppingWork { fence } => write!(f, "stopping its work with fence {fence}"),
            Self::Released => f.write_str("released"),
        }
    }
}
