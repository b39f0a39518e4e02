use steadfast_notifications::test_util::conformance;

use super::Stores;

#[tokio::test]
async fn channel_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    conformance::channels(&stores.channels(), &*stores.ids)
        .await
        .unwrap();
}

#[tokio::test]
async fn delivery_store_conforms() {
    let Some(stores) = Stores::open().await else {
        return;
    };
    let store = stores.channels();
    conformance::deliveries(&stores.notifications(), &store, &store, &*stores.ids)
        .await
        .unwrap();
}
