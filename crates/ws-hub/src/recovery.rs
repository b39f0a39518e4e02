use std::sync::Arc;

use crate::{
    HistoryPage, Publication,
    protocol::{Since, SubscribeResult},
    subscription::Place,
};

/// What a publication takes in a reply beside its data, at most.
const FRAME_BYTES: usize = 48;

/// What a subscriber is told of the past, and where its live publications go on.
#[derive(Debug)]
pub(crate) struct Recovery {
    place: Place,
    was_recovering: bool,
    recovered: bool,
    publications: Vec<Publication>,
}

impl Recovery {
    /// Judges a page of history that was read after the position the client knows.
    ///
    /// All or nothing: every publication since then, or none and `recovered: false`. It takes no
    /// more bytes of the reply than `budget`.
    pub(crate) fn new(page: HistoryPage, since: Option<&Since<'_>>, budget: usize) -> Self {
        let recovered = since.is_some_and(|since| is_complete(&page, since))
            && bytes(&page.publications) <= budget;
        Self {
            place: Place {
                offset: page.top.offset,
                epoch: Arc::from(page.top.epoch),
            },
            was_recovering: since.is_some(),
            recovered,
            publications: if recovered {
                page.publications
            } else {
                Vec::new()
            },
        }
    }

    /// What the publications take in the reply.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.publications)
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(crate) fn result(&self) -> SubscribeResult<'_> {
        SubscribeResult {
            recoverable: true,
            positioned: true,
            epoch: &self.place.epoch,
            offset: Some(self.place.offset),
            was_recovering: self.was_recovering,
            recovered: self.recovered,
            publications: self.publications.iter().map(Into::into).collect(),
        }
    }
}

fn is_complete(page: &HistoryPage, since: &Since<'_>) -> bool {
    let offsets = page.publications.iter().map(|p| p.offset);
    since.epoch == page.top.epoch
        && since.offset <= page.top.offset
        && offsets.eq(since.offset + 1..=page.top.offset)
}

fn bytes(publications: &[Publication]) -> usize {
    let publications = publications.iter();
    publications.map(|p| p.data.len() + FRAME_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Payload, StreamPosition};

    fn recovered(offsets: &[u64], top: u64, since: u64, epoch: &str) -> bool {
        let data = Payload::from_json("1").unwrap();
        let publications = offsets.iter().map(|&o| Publication::new(o, data.clone()));
        let page = HistoryPage {
            top: StreamPosition::new(top, "e"),
            publications: publications.collect(),
        };
        let since = Since {
            offset: since,
            epoch: epoch.into(),
        };
        let recovery = Recovery::new(page, Some(&since), 1_000);
        assert_eq!(recovery.place().offset, top);
        let kept = if recovery.recovered { offsets.len() } else { 0 };
        assert_eq!(recovery.publications.len(), kept);
        recovery.recovered
    }

    #[test]
    fn recovery_is_all_or_nothing() {
        assert!(recovered(&[], 3, 3, "e"));
        assert!(recovered(&[2, 3], 3, 1, "e"));
        assert!(!recovered(&[2, 3], 3, 1, "other"));
        assert!(!recovered(&[3], 3, 1, "e"), "the front is gone");
        assert!(!recovered(&[2], 3, 1, "e"), "the page is too short");
        assert!(!recovered(&[2, 4], 4, 1, "e"), "a hole");
        assert!(!recovered(&[], 3, 4, "e"), "ahead of the stream");
    }

    #[test]
    fn recovery_beyond_the_bound_in_bytes_is_refused() {
        let data = Payload::encode(&"x".repeat(100)).unwrap();
        let page = HistoryPage {
            top: StreamPosition::new(1, "e"),
            publications: vec![Publication::new(1, data)],
        };
        let since = Since {
            offset: 0,
            epoch: "e".into(),
        };
        assert!(!Recovery::new(page.clone(), Some(&since), 149).recovered);
        assert!(Recovery::new(page, Some(&since), 150).recovered);
    }
}
