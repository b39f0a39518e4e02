use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use steadfast_sync::Semaphore;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::crowd::Crowd;

/// Connections that one server serves at a time; the next ones wait to be accepted.
const MAX_CONNECTIONS: usize = 16_384;

/// Connections that one address may have; further ones are closed.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1_024;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take no byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// Bytes of one request's head.
const MAX_HEAD: usize = 32 * 1024;

/// An HTTP/1.1 server: bounded connections, bounded heads, and a stop that lets requests finish.
///
/// axum's own `serve` has no limit on connections or on the time and size of a request's head.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Stop,
    tasks: TaskTracker,
}

/// How a connection is told to end.
#[derive(Clone, Debug, Default)]
struct Stop {
    /// As soon as its request is answered.
    gently: CancellationToken,
    /// At once.
    now: CancellationToken,
}

impl Server {
    /// Binds the address and begins to serve.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answers, nothing is served.
    pub async fn start(address: SocketAddr, router: Router) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let connections = Semaphore::new(MAX_CONNECTIONS).map_err(std::io::Error::other)?;
        let server = Self {
            address: listener.local_addr()?,
            stop: Stop::default(),
            tasks: TaskTracker::new(),
        };
        let acceptor = Acceptor {
            router,
            connections: Arc::new(connections),
            crowd: Crowd::new(MAX_CONNECTIONS_PER_ADDRESS),
            stop: server.stop.clone(),
            tasks: server.tasks.clone(),
        };
        server.tasks.spawn(acceptor.run(listener));
        Ok(server)
    }

    /// Where it serves; the port is the real one, also where port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, closes idle connections, and gives the requests at work `grace` to finish;
    /// what is left then is cut. Answers how many connections that were.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has begun to stop, and cuts nothing; call it again.
    pub async fn stop(&self, grace: Duration) -> usize {
        self.stop.gently.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.stop.now.cancel();
        self.tasks.wait().await;
        left
    }
}

/// What takes connections in.
struct Acceptor {
    router: Router,
    connections: Arc<Semaphore>,
    crowd: Crowd,
    stop: Stop,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = async {
                let permit = self.connections.acquire_owned(1).await.ok();
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = self.stop.gently.cancelled() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = self.crowd.enter(peer.ip()) else {
                        tracing::debug!(%peer, "too many connections from this address");
                        continue;
                    };
                    let connection = serve(stream, peer, self.router.clone(), self.stop.clone());
                    self.tasks.spawn(async move {
                        connection.await;
                        drop((permit, place));
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: the ones in use need time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: Stop) {
    // Without this, small answers wait for the client's delayed acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "the connection is gone already");
        return;
    }
    let mut with_peer = router.into_make_service_with_connect_info::<SocketAddr>();
    let service = match with_peer.call(peer).await {
        Ok(service) => TowerToHyperService::new(service),
        Err(never) => match never {},
    };
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.gently.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = stop.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}
