//! Histories that hang or break at a bad moment.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use steadfast_ws_hub::{
    Authorizer, History, HistoryPage, Identity, Limits, Payload, PortError, PublishError,
    StreamPosition, testing::DurableHistory,
};
use tokio::time::sleep;

use crate::client::{builder, now, payload, pipe, since, started};

/// What happens to a call beside the fake's work.
#[derive(Clone, Copy)]
enum Trouble {
    AppendHangs,
    ReadTakes(Duration),
    /// All but the first.
    ReadsPanic,
}

struct Troubled {
    inner: DurableHistory,
    trouble: Trouble,
    reads: AtomicUsize,
}

fn troubled(trouble: Trouble) -> Arc<Troubled> {
    Arc::new(Troubled {
        inner: DurableHistory::new(),
        trouble,
        reads: AtomicUsize::new(0),
    })
}

#[async_trait]
impl History for Troubled {
    fn covers(&self, topic: &str) -> bool {
        topic.starts_with("log:")
    }

    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError> {
        if let Trouble::AppendHangs = self.trouble {
            pending::<()>().await;
        }
        self.inner.append(topic, data).await
    }

    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError> {
        let earlier = self.reads.fetch_add(1, Ordering::Relaxed);
        match self.trouble {
            Trouble::ReadTakes(time) => sleep(time).await,
            Trouble::ReadsPanic => assert_eq!(earlier, 0, "told to panic"),
            Trouble::AppendHangs => {}
        }
        self.inner.read(topic, after, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn publication_that_history_does_not_store_in_time_fails() {
    let hub = started(builder().history(troubled(Trouble::AppendHangs))).await;
    let start = now();
    let publishing = hub.publish("log:a", payload(1));
    let published = tokio::time::timeout(Duration::from_secs(60), publishing).await;
    let error = published.expect("it is given up").unwrap_err();
    assert!(matches!(error, PublishError::Append { .. }), "{error}");
    assert_eq!(since(start).as_secs(), 5);
}

#[tokio::test]
async fn repair_that_panics_ends_the_subscription_for_recovery() {
    let history = troubled(Trouble::ReadsPanic);
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("log:a").await;
    history.inner.store("log:a", payload(1));
    let two = history.inner.store("log:a", payload(2));
    hub.publish_at("log:a", two, "").unwrap();
    assert_eq!(client.unsubscribed("log:a").await, 2500);
}

/// Allows everything, but takes its time.
struct Hesitant(Duration);

#[async_trait]
impl Authorizer for Hesitant {
    async fn may_subscribe(&self, _: &Identity, _: &str) -> Result<bool, PortError> {
        sleep(self.0).await;
        Ok(true)
    }

    async fn may_publish(&self, _: &Identity, _: &str) -> Result<bool, PortError> {
        sleep(self.0).await;
        Ok(true)
    }
}

#[tokio::test(start_paused = true)]
async fn two_slow_ports_in_one_command_do_not_make_the_client_look_dead() {
    let limits = Limits {
        command_timeout: Duration::from_secs(9),
        ..Limits::default()
    };
    let slow = Duration::from_secs(8);
    let hub = builder()
        .history(troubled(Trouble::ReadTakes(slow)))
        .authorizer(Arc::new(Hesitant(slow)))
        .limits(limits);
    let hub = started(hub).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    // The first ping falls into the time of the authorizer.
    sleep(Duration::from_secs(22)).await;
    client.subscribe("log:a").await;
    assert_eq!(hub.stats().evicted_silent, 0);
}
