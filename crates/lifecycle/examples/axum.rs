//! An axum server whose probes come from the lifecycle and which stops gracefully.
//!
//! `cargo run -p steadfast-lifecycle --example axum`, then `curl localhost:3000/readyz`, then
//! Ctrl-C: `/readyz` says 503 at once, requests are served for 5 s more, those that are under way
//! then are finished, and the process ends with 0.

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use steadfast_lifecycle::{
    Health, Lifecycle, LifecycleHandle, Service, ServiceError, ServiceSpec, StartContext,
    StopContext,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code.into(),
    }
}

async fn run() -> Result<(), u8> {
    let http = Arc::new(Http::new(SocketAddr::from(([127, 0, 0, 1], 3000))));
    let app = Lifecycle::builder().service(http).build().map_err(told)?;
    match app.run_until_stopped(Duration::from_secs(5)).await {
        Ok(report) => println!("stopped: {report}"),
        Err(error) => {
            let code = error.exit_code();
            told(error);
            return Err(code);
        }
    }
    Ok(())
}

fn told(error: impl Error) -> u8 {
    eprintln!("{error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
    1
}

/// The HTTP server as a service.
pub(crate) struct Http {
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

/// What a start leaves behind and a stop releases.
struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            server: Mutex::default(),
        }
    }

    /// Where it listens, while it is up.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.with_server(|server| Some(server.as_ref()?.address))
    }

    fn with_server<R>(&self, f: impl FnOnce(&mut Option<Server>) -> R) -> R {
        f(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Service for Http {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("http").stop_timeout(Duration::from_secs(10))
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let listener = TcpListener::bind(self.address)
            .await
            .map_err(ServiceError::transient)?;
        let address = listener.local_addr().map_err(ServiceError::transient)?;
        let shutdown = CancellationToken::new();
        let asked = shutdown.clone().cancelled_owned();
        let failure = cx.failure_reporter();
        let router = router(cx.lifecycle().clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(asked);
            if let Err(error) = served.await {
                failure.failed(ServiceError::permanent(error));
            }
        });
        self.with_server(|server| {
            *server = Some(Server {
                address,
                shutdown,
                tasks,
            });
        });
        Ok(())
    }

    /// Finishes the requests that are under way. If that takes too long, the future is dropped,
    /// and the tasks with it.
    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        let Some(mut server) = self.with_server(Option::take) else {
            return Ok(());
        };
        server.shutdown.cancel();
        while let Some(ended) = server.tasks.join_next().await {
            ended.map_err(ServiceError::permanent)?;
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        match self.address() {
            Some(_) => Health::healthy(),
            None => Health::unhealthy("does not listen"),
        }
    }
}

fn router(lifecycle: LifecycleHandle) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/echo", post(async |body: String| body))
        .with_state(lifecycle)
}

/// Whether the process is worth keeping; never looks at a service.
async fn livez(State(lifecycle): State<LifecycleHandle>) -> StatusCode {
    verdict(lifecycle.snapshot().is_live())
}

/// Whether new work is welcome.
async fn readyz(State(lifecycle): State<LifecycleHandle>) -> StatusCode {
    verdict(lifecycle.snapshot().is_ready())
}

fn verdict(well: bool) -> StatusCode {
    if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
