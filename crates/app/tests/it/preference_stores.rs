//! The stores of preferences do what every such store must do, on both databases.

use std::sync::Arc;

use steadfast_app::adapters::{postgres::PostgresPreferenceStore, sqlite::SqlitePreferenceStore};
use steadfast_notifications::{
    IdSource, PreferenceStore, Preferences, PutOutcome, UserId, test_util::conformance,
};
use tokio::task::JoinSet;

use crate::{postgres_stores, store_checks::at, stores};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn preferences_in_sqlite_conform() {
    let stores = stores::Stores::open().await;
    let (reader, writer) = stores.guarded();
    let store = Arc::new(SqlitePreferenceStore::new(reader, writer));
    conforms(store, &*stores.ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn preferences_in_postgres_conform() {
    let Some(stores) = postgres_stores::Stores::open().await else {
        return;
    };
    let store = Arc::new(PostgresPreferenceStore::new(stores.guarded()));
    conforms(store, &*stores.ids).await;
}

async fn conforms(store: Arc<dyn PreferenceStore>, ids: &dyn IdSource) {
    conformance::preferences(&*store, ids).await.unwrap();
    one_of_sixteen_puts_a_version(store, ids).await;
}

async fn one_of_sixteen_puts_a_version(store: Arc<dyn PreferenceStore>, ids: &dyn IdSource) {
    let user = UserId::new(ids.next_id());
    for version in 2..6 {
        let mut putting = JoinSet::new();
        for n in 0..16 {
            let new = Preferences {
                tz: format!("zone {n}"),
                version,
                updated_at: Some(at(0)),
                ..Preferences::unset()
            };
            let store = store.clone();
            putting.spawn(async move {
                let put = store.put(user, &new, version - 1).await.unwrap();
                (put == PutOutcome::Stored).then_some(new)
            });
        }
        let stored: Vec<_> = putting.join_all().await.into_iter().flatten().collect();
        assert_eq!(stored.len(), 1);
        assert_eq!(store.get(user).await.unwrap().as_ref(), stored.first());
    }
}
