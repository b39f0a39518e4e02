use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use steadfast_clock::ManualClock;
use steadfast_ws_hub::{
    History, MemoryHistory,
    testing::{DurableHistory, history_conformance},
};

use crate::client::payload;

#[tokio::test]
async fn memory_history_conforms() {
    history_conformance(Arc::new(MemoryHistory::new(100)), str::to_owned).await;
}

#[tokio::test]
async fn durable_fake_conforms() {
    let history = Arc::new(DurableHistory::new());
    history_conformance(history, |name| format!("log:{name}")).await;
}

#[tokio::test]
async fn memory_history_keeps_the_last_of_the_ring() {
    let history = MemoryHistory::new(2);
    for n in 1..=3 {
        history.append("t", &payload(n)).await.unwrap();
    }
    let page = history.read("t", Some(0), 10).await.unwrap();
    let offsets: Vec<_> = page.publications.iter().map(|p| p.offset).collect();
    assert_eq!((page.top.offset, offsets), (3, vec![2, 3]));
}

#[tokio::test]
async fn memory_history_forgets_by_age_and_keeps_the_position() {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let history = MemoryHistory::new(10)
        .max_age(Duration::from_secs(60))
        .clock(clock.clone());
    history.append("t", &payload(1)).await.unwrap();
    clock.advance(Duration::from_secs(59));
    history.append("t", &payload(2)).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let page = history.read("t", Some(0), 10).await.unwrap();
    assert_eq!((page.top.offset, page.publications.len()), (2, 1));
}

#[tokio::test]
async fn forgotten_topic_comes_back_under_a_new_epoch() {
    let history = MemoryHistory::new(10).max_topics(2);
    let first = history.append("old", &payload(1)).await.unwrap();
    history.append("middle", &payload(1)).await.unwrap();
    history.append("old", &payload(2)).await.unwrap();
    // `middle` was written longest ago.
    history.append("new", &payload(1)).await.unwrap();
    let old = history.read("old", None, 0).await.unwrap().top;
    assert_eq!((old.offset, &old.epoch), (2, &first.epoch));

    history.append("middle", &payload(1)).await.unwrap();
    let again = history.append("old", &payload(1)).await.unwrap();
    assert_eq!(again.offset, 1);
    assert_ne!(again.epoch, first.epoch);
}
