use steadfast_privacy::test_util::{
    MemoryErasures, MemoryPolicies, MemoryRetention, MemoryRunLog, conformance, erasure_conformance,
};
use uuid::Uuid;

#[tokio::test]
async fn memory_retention_finds_and_deletes_by_age() {
    let store = MemoryRetention::new();
    let plant = async |records, at| store.plant(records, at);
    conformance::retention(&store, plant).await.unwrap();
}

#[tokio::test]
async fn memory_run_log_remembers_runs() {
    conformance::run_log(&MemoryRunLog::new()).await.unwrap();
}

#[tokio::test]
async fn memory_erasures_remember_requests_rows_and_tombstones() {
    let store = MemoryErasures::new();
    erasure_conformance::erasures(&store).await.unwrap();
    let users = [71, 72].map(Uuid::from_u128);
    let plant = async |user| store.plant(user, 3);
    erasure_conformance::personal_data(&store, &store, users, plant)
        .await
        .unwrap();
    let log = MemoryErasures::new();
    erasure_conformance::tombstone_log(&log).await.unwrap();
}

#[tokio::test]
async fn memory_policies_keep_one_of_concurrent_changes() {
    conformance::policy_store(&MemoryPolicies::new())
        .await
        .unwrap();
}
