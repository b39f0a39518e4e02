//! A server whose database is opened by whoever comes first, and closed last:
//! `cargo run --example axum_database --features sqlite`, then
//! `curl -X POST localhost:3000/notes -d hello` and `curl localhost:3000/readyz`.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions};
use tokio::net::TcpListener;

const MIGRATIONS: &[(u32, &str, &str)] = &[(
    1,
    "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
    "CREATE TABLE note (id bigserial PRIMARY KEY, text text NOT NULL)",
)];

/// How long connections may take to come back at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

type Shared = State<Arc<Database<SqliteBackend>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Arc::new(database("notes.db")?);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let stop = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("no signal can be waited for: {error}");
        }
    };
    Ok(serve(listener, database, stop).await?)
}

/// The database in the file at `path`; nothing is opened yet.
pub(crate) fn database(path: &str) -> Result<Database<SqliteBackend>, Box<dyn Error>> {
    let backend = SqliteBackend::new(path, SqliteOptions::default())?;
    let migrations = MigrationSet::new().add("notes", MIGRATIONS)?;
    Ok(Database::builder(backend).migrations(migrations).build()?)
}

/// Serves until `stop` completes, and closes the database.
pub(crate) async fn serve(
    listener: TcpListener,
    database: Arc<Database<SqliteBackend>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/notes", post(add))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(&database));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    let report = database.close(CLOSE_WITHIN).await;
    if report.leaked > 0 {
        eprintln!("{} connections were not given back", report.leaked);
    }
    Ok(())
}

async fn add(State(database): Shared, text: String) -> Result<String, (StatusCode, String)> {
    let unavailable = |error: &dyn Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    // The first request opens it, those that come meanwhile join; on the others this costs nothing.
    let pools = database.ensure_initialized().await;
    let pools = pools.map_err(|error| unavailable(&*error))?;
    let added = sqlx::query_scalar::<_, i64>("INSERT INTO note (text) VALUES (?) RETURNING id")
        .bind(text)
        .fetch_one(&pools.writer)
        .await;
    let id = added.map_err(|error| unavailable(&error))?;
    Ok(format!("note {id}\n"))
}

async fn ready(State(database): Shared) -> (StatusCode, String) {
    let status = database.status();
    let code = if status.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, format!("{status}\n"))
}
