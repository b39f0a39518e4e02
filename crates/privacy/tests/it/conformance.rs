use steadfast_privacy::test_util::{MemoryRetention, MemoryRunLog, conformance};

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
