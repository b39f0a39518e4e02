//! A server with a leader in the background, which hands over when the server stops:
//! `cargo run --example axum_leader`, then `curl localhost:3000/leader`.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::get};
use steadfast_lease::{Elector, LeaseContext, LeaseLock, LockBackend, MemoryBackend};
use tokio::{net::TcpListener, time::sleep};

/// How long the leader's work may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Between processes: `SqliteBackend`, `PostgresBackend` or `RedisBackend`.
    let elector = elector(Arc::new(MemoryBackend::new()), "host-1")?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let stop = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("no signal can be waited for: {error}");
        }
    };
    Ok(serve(listener, elector, stop).await?)
}

/// An elector whose leader sweeps once a minute.
pub(crate) fn elector(
    backend: Arc<dyn LockBackend>,
    owner: &str,
) -> Result<Elector, steadfast_lease::BuildError> {
    let lock = LeaseLock::builder(backend, "sweeper", owner).build()?;
    Ok(Elector::builder(lock).start(sweep))
}

async fn sweep(cx: LeaseContext) {
    while cx.check().is_ok() {
        println!("sweeping with fence {}", cx.fence());
        tokio::select! {
            () = cx.cancellation().cancelled() => {}
            () = sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// Serves until `stop` completes, and hands over.
pub(crate) async fn serve(
    listener: TcpListener,
    elector: Elector,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let elector = Arc::new(elector);
    let router = Router::new()
        .route("/leader", get(leader))
        .with_state(Arc::clone(&elector));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    elector
        .shutdown(STOP_WITHIN)
        .await
        .map_err(io::Error::other)
}

async fn leader(State(elector): State<Arc<Elector>>) -> String {
    elector.state().to_string()
}
