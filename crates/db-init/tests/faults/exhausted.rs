//! A Postgres server that has no connection left.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection};
use steadfast_db_init::{Backend, Class, PostgresBackend, PostgresOptions, Status};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::task::JoinSet;

use crate::{NOTES, chain, persistent, reaches};

const MAX: usize = 4;

#[tokio::test]
async fn server_without_a_free_connection_is_waited_for_and_migrated_exactly_once() {
    let server = PrivatePostgres::builder()
        .setting("max_connections", &MAX.to_string())
        .setting("superuser_reserved_connections", "0");
    let Some(server) = server_or_skip(server.start().await) else {
        return;
    };
    let mut held = Vec::new();
    for _ in 0..MAX {
        held.push(PgConnection::connect(&server.url()).await.unwrap());
    }
    let backend = PostgresBackend::new(&server.url(), PostgresOptions::default()).unwrap();
    let error = backend.connect().await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let text = chain(&error);
    let expected = "; end connections that are not needed, or raise `max_connections` of the \
        server or the limit of the role or the database: sorry, too many clients already";
    assert!(text.contains(expected), "{text}");

    let database = Arc::new(persistent(&server.url(), Duration::from_secs(5), NOTES));
    let mut statuses = database.subscribe();
    let mut caller = JoinSet::new();
    caller.spawn({
        let database = Arc::clone(&database);
        async move { database.initialize().await }
    });
    let third = |status: &Status| matches!(status, Status::Connecting { attempt: 3.., .. });
    reaches(&mut statuses, third).await;
    // With one there is a pool, but none for the migrator.
    held.pop().unwrap().close().await.unwrap();
    let migrating = |status: &Status| matches!(status, Status::Migrating { .. });
    reaches(&mut statuses, migrating).await;
    let again = |status: &Status| matches!(status, Status::Connecting { .. });
    reaches(&mut statuses, again).await;
    for connection in held {
        connection.close().await.unwrap();
    }
    let pool = caller.join_next().await.unwrap().unwrap().unwrap();
    let notes = sqlx::query_scalar("SELECT count(*) FROM note");
    let notes: i64 = notes.fetch_one(&*pool).await.unwrap();
    assert_eq!(notes, 1);
    assert!(database.close(Duration::from_secs(30)).await.complete);
}
