use std::sync::Arc;

use futures_util::future::join_all;

use crate::{History, HistoryPage, Payload};

/// Runs the suite that every implementation of [`History`] must pass.
///
/// `topic` makes the names: the history must cover each, and none may have been written before. It
/// must keep at least ten publications of a topic.
///
/// # Cancel safety
///
/// None needed: it is a test.
///
/// # Panics
///
/// With what is wrong.
pub async fn history_conformance(history: Arc<dyn History>, topic: impl Fn(&str) -> String) {
    unwritten_topic_has_a_position_that_stays(&*history, &topic("unwritten")).await;
    offsets_grow_by_one_and_pages_follow(&*history, &topic("pages")).await;
    topics_are_independent(&*history, &topic("left"), &topic("right")).await;
    concurrent_appends_make_one_stream(&*history, &topic("concurrent")).await;
}

async fn unwritten_topic_has_a_position_that_stays(history: &dyn History, topic: &str) {
    assert!(history.covers(topic), "{topic} must be covered");
    let first = read(history, topic, None, 10).await;
    assert_eq!((first.top.offset, first.publications.len()), (0, 0));
    assert_eq!(read(history, topic, Some(0), 10).await, first);

    append(history, topic, 1).await;
    let written = read(history, topic, Some(0), 10).await;
    assert_eq!(written.top.epoch, first.top.epoch, "the epoch stays");
}

async fn offsets_grow_by_one_and_pages_follow(history: &dyn History, topic: &str) {
    let epoch = read(history, topic, None, 10).await.top.epoch;
    for n in 1..=10 {
        assert_eq!(append(history, topic, n).await, n);
    }
    let none = read(history, topic, None, 10).await;
    assert_eq!((none.top.offset, none.publications.len()), (10, 0));

    for (after, limit, expected) in [
        (0, 100, (1..=10).collect::<Vec<u64>>()),
        (7, 100, vec![8, 9, 10]),
        (7, 2, vec![8, 9]),
        (9, 1, vec![10]),
        (10, 100, vec![]),
        (11, 100, vec![]),
        (i64::MAX as u64, 100, vec![]),
    ] {
        let page = read(history, topic, Some(after), limit).await;
        let offsets: Vec<_> = page.publications.iter().map(|p| p.offset).collect();
        assert_eq!(offsets, expected, "after {after}, at most {limit}");
        assert_eq!((page.top.offset, &page.top.epoch), (10, &epoch));
        for publication in page.publications {
            assert_eq!(publication.data.as_str(), publication.offset.to_string());
        }
    }
}

async fn topics_are_independent(history: &dyn History, left: &str, right: &str) {
    append(history, left, 1).await;
    append(history, left, 2).await;
    append(history, right, 1).await;
    assert_eq!(read(history, left, Some(0), 10).await.publications.len(), 2);
    let page = read(history, right, Some(0), 10).await;
    assert_eq!((page.top.offset, page.publications.len()), (1, 1));
}

async fn concurrent_appends_make_one_stream(history: &dyn History, topic: &str) {
    let mut offsets = join_all((1..=10).map(|n| append(history, topic, n))).await;
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=10).collect::<Vec<_>>());
    let page = read(history, topic, Some(0), 10).await;
    let read: Vec<_> = page.publications.iter().map(|p| p.offset).collect();
    assert_eq!(read, offsets);
}

async fn append(history: &dyn History, topic: &str, n: u64) -> u64 {
    let data = Payload::encode(&n).expect("a number is JSON");
    let position = history.append(topic, &data).await;
    position.expect("append works").offset
}

async fn read(history: &dyn History, topic: &str, after: Option<u64>, limit: usize) -> HistoryPage {
    let page = history.read(topic, after, limit).await;
    page.expect("read works")
}
