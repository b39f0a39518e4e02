use steadfast_notifications::test_util::conformance;

use crate::World;

#[tokio::test]
async fn memory_store_keeps_schedules() {
    let World { store, ids, .. } = World::new();
    conformance::schedules(&*store, &*ids).await.unwrap();
}

#[tokio::test]
async fn memory_store_keeps_notifications() {
    let World { store, ids, .. } = World::new();
    conformance::notifications(&*store, &*store, &*ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn memory_store_keeps_an_outbox() {
    let World { store, ids, .. } = World::new();
    conformance::outbox(&*store, &*store, &*ids).await.unwrap();
}

#[tokio::test]
async fn memory_store_keeps_preferences() {
    let World { store, ids, .. } = World::new();
    conformance::preferences(&*store, &*ids).await.unwrap();
}

#[tokio::test]
async fn memory_store_keeps_channels() {
    let World { store, ids, .. } = World::new();
    conformance::channels(&*store, &*ids).await.unwrap();
}

#[tokio::test]
async fn memory_store_keeps_deliveries() {
    let World { store, ids, .. } = World::new();
    conformance::deliveries(&*store, &*store, &*store, &*ids)
        .await
        .unwrap();
}
