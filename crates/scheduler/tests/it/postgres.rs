//! The store on a private Postgres server.

use std::sync::Arc;

use sqlx::PgPool;
use steadfast_scheduler::{MIGRATIONS, PostgresJobStore, conformance};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

/// A server whose database `postgres` has the tables.
pub(crate) async fn start() -> Option<(PrivatePostgres, PgPool)> {
    let server = server_or_skip(PrivatePostgres::start().await)?;
    let pool = PgPool::connect(&server.url()).await.unwrap();
    for (_, _, postgres) in MIGRATIONS {
        sqlx::raw_sql(*postgres).execute(&pool).await.unwrap();
    }
    Some((server, pool))
}

#[tokio::test]
async fn postgres_store_conforms() {
    let Some((_server, pool)) = start().await else {
        return;
    };
    conformance::check_all(Arc::new(PostgresJobStore::new(pool))).await;
}
