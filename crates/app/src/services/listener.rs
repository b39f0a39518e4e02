use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use steadfast_lifecycle::ServiceError;

use crate::http::Server;

/// How long requests at work get to finish.
const GRACE: Duration = Duration::from_secs(5);

/// An address to listen on, and the server that does while the service is up.
#[derive(Debug)]
pub(super) struct Listener {
    listen: SocketAddr,
    server: Mutex<Option<Server>>,
}

impl Listener {
    /// Listens on nothing yet.
    pub(super) fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            server: Mutex::default(),
        }
    }

    /// Begins to serve, and answers where.
    pub(super) async fn start(&self, router: Router) -> Result<SocketAddr, ServiceError> {
        let server = Server::start(self.listen, router).await.map_err(|error| {
            ServiceError::permanent(format!("cannot listen on {}: {error}", self.listen))
        })?;
        let address = server.address();
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(address)
    }

    /// Stops serving, if it serves.
    pub(super) async fn stop(&self) {
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(server) = server else { return };
        let cut = server.stop(GRACE).await;
        if cut > 0 {
            tracing::warn!(listen = %self.listen, cut, "requests did not finish in time");
        }
    }
}
