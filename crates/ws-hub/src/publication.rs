use crate::Payload;

/// A place in the stream of one topic.
///
/// Offsets grow by one with each publication. The epoch names the stream itself: it changes
/// whenever history may have been lost, and offsets of different epochs cannot be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamPosition {
    /// Offset of the last publication seen, 0 before the first.
    pub offset: u64,
    /// Name of the stream.
    pub epoch: String,
}

impl StreamPosition {
    /// The position `offset` in the stream `epoch`.
    #[must_use]
    pub fn new(offset: u64, epoch: impl Into<String>) -> Self {
        Self {
            offset,
            epoch: epoch.into(),
        }
    }
}

/// One message of a topic that has a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its place in the stream, 1 for the first.
    pub offset: u64,
    /// What was published.
    pub data: Payload,
}

impl Publication {
    /// The publication at `offset`.
    #[must_use]
    pub fn new(offset: u64, data: Payload) -> Self {
        Self { offset, data }
    }
}

/// What [`History::read`](crate::History::read) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The end of the stream when it was read.
    pub top: StreamPosition,
    /// Publications after the offset asked for, oldest first, without a hole between them.
    pub publications: Vec<Publication>,
}
