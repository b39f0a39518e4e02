//! An axum server whose probes come from the lifecycle and which stops gracefully.
//!
//! `cargo run -p steadfast-lifecycle --example axum_drain`, then `curl localhost:3000/readyz` and
//! `curl -N localhost:3000/events`, then Ctrl-C: `/readyz` says 503 at once, and all else is served
//! for 5 s more. Then requests under way are finished, streams of events and WebSockets are told and
//! closed, idle connections are closed, and the process ends with 0.
//!
//! axum's graceful shutdown waits for a response that streams for as long as it streams, and knows
//! nothing of WebSockets: both watch `Open::closing` here.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::StatusCode,
    response::{Response, Sse, sse::Event},
    routing::{any, get, post},
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use steadfast_lifecycle::{
    Health, Lifecycle, LifecycleHandle, Service, ServiceError, ServiceSpec, StartContext,
    StopContext,
};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a WebSocket may take to take its last message.
const GOODBYE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let code = run().await.err().unwrap_or(0);
    // Not by a return, which waits for threads that are blocked.
    std::process::exit(code.into());
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
    open: Open,
    tasks: JoinSet<()>,
}

/// What has no end of its own.
#[derive(Clone, Default)]
struct Open {
    /// Cancelled when the server stops.
    closing: CancellationToken,
    sockets: TaskTracker,
}

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    lifecycle: LifecycleHandle,
    open: Open,
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
        let open = Open::default();
        let asked = open.closing.clone().cancelled_owned();
        let failure = cx.failure_reporter();
        let router = router(Shared {
            lifecycle: cx.lifecycle().clone(),
            open: open.clone(),
        });
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
                open,
                tasks,
            });
        });
        Ok(())
    }

    /// Finishes the requests that are under way, and says goodbye to whoever listens. A client that
    /// does not send the rest of its request holds that up: when the stop's time is over the future
    /// is dropped, the stop is not clean, and what is still open ends with the process.
    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        let Some(mut server) = self.with_server(Option::take) else {
            return Ok(());
        };
        server.open.closing.cancel();
        while let Some(ended) = server.tasks.join_next().await {
            ended.map_err(ServiceError::permanent)?;
        }
        // No handler is left, so that no other socket is to come.
        server.open.sockets.close();
        server.open.sockets.wait().await;
        Ok(())
    }

    async fn health(&self) -> Health {
        match self.address() {
            Some(_) => Health::healthy(),
            None => Health::unhealthy("does not listen"),
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/echo", post(async |body: String| body))
        .route("/events", get(events))
        .route("/socket", any(socket))
        .with_state(shared)
}

/// An event a second, and one that is the last.
async fn events(
    State(shared): State<Shared>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(interval(Duration::from_secs(1)), |mut ticks| async {
        ticks.tick().await;
        Some((Event::default().data("tick"), ticks))
    });
    let goodbye = ready(Event::default().event("goodbye").data("server stops"));
    let events = ticks
        .take_until(shared.open.closing.cancelled_owned())
        .chain(stream::once(goodbye));
    Sse::new(events.map(Ok))
}

/// Says what it hears, until the server stops.
async fn socket(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let open = shared.open;
    // Taken here: the stop waits for it from now on.
    let token = open.sockets.token();
    upgrade.on_upgrade(move |mut socket| async move {
        let _token = token;
        let closed = open.closing.run_until_cancelled(echo(&mut socket)).await;
        if closed.is_none() {
            let goodbye = Message::Close(Some(CloseFrame {
                code: close_code::AWAY,
                reason: "server stops".into(),
            }));
            let _ = timeout(GOODBYE, socket.send(goodbye)).await;
        }
    })
}

async fn echo(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Whether the process is worth keeping; never looks at a service.
async fn livez(State(shared): State<Shared>) -> StatusCode {
    verdict(shared.lifecycle.snapshot().is_live())
}

/// Whether new work is welcome.
async fn readyz(State(shared): State<Shared>) -> StatusCode {
    verdict(shared.lifecycle.snapshot().is_ready())
}

fn verdict(well: bool) -> StatusCode {
    if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
