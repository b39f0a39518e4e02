//! Every publication has a number, and every client checks that it gets all of them in order.

use std::sync::Arc;

use serde_json::{Value, json};
use steadfast_ws_hub::{Hub, testing::DurableHistory};
use tokio::task::{JoinSet, yield_now};

use crate::client::{builder, payload, pipe, started};

const TOPIC: &str = "log:chaos";
const TOTAL: u64 = 900;

/// Stores all, and hands over late, twice, in the wrong order or not at all.
async fn publish(hub: Hub, history: Arc<DurableHistory>) {
    let mut held = Vec::new();
    for n in 1..=TOTAL {
        let publication = history.store(TOPIC, payload(n));
        assert_eq!(publication.offset, n);
        match n % 13 {
            _ if n == TOTAL => held.push(publication),
            1 | 5 | 6 => held.push(publication),
            2 => {}
            3 => {
                hub.publish_at(TOPIC, publication.clone(), "").unwrap();
                hub.publish_at(TOPIC, publication, "").unwrap();
            }
            9 => {
                held.push(publication);
                for late in held.drain(..).rev() {
                    hub.publish_at(TOPIC, late, "").unwrap();
                }
            }
            _ => {
                hub.publish_at(TOPIC, publication, "").unwrap();
            }
        }
        yield_now().await;
    }
    for late in held.into_iter().rev() {
        hub.publish_at(TOPIC, late, "").unwrap();
    }
}

/// Cuts its connection after some messages, comes back and recovers.
async fn follow(hub: Hub, patience: u64) {
    let mut last = 0;
    while last < TOTAL {
        let mut client = pipe(&hub, 1 << 16).await;
        client.hello(&format!("every-{patience}")).await;
        let mut left = patience;
        while left > 0 && last < TOTAL {
            let reply = client.recover(TOPIC, last, "").await;
            assert_eq!(reply["recovered"], true, "{reply}");
            let missed = reply["publications"].as_array().cloned();
            for publication in missed.unwrap_or_default() {
                check(&publication, &mut last);
            }
            while left > 0 && last < TOTAL {
                let line = client.next_line().await;
                if line["push"]["unsubscribe"]["code"] == json!(2500) {
                    break;
                }
                check(&line["push"]["pub"], &mut last);
                left -= 1;
            }
        }
    }
}

fn check(publication: &Value, last: &mut u64) {
    *last += 1;
    assert_eq!(publication["offset"], json!(*last), "{publication}");
    assert_eq!(publication["data"], json!(*last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_come_and_go_miss_nothing_and_see_nothing_twice() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut tasks = JoinSet::new();
    for patience in [1, 3, 10, 50, 1_000] {
        tasks.spawn(follow(hub.clone(), patience));
    }
    tasks.spawn(publish(hub.clone(), history));
    tasks.join_all().await;
    hub.stop(std::time::Duration::from_secs(1)).await;
    let stats = hub.stats();
    assert_eq!(
        (stats.connections, stats.subscriptions, stats.topics),
        (0, 0, 0)
    );
}
