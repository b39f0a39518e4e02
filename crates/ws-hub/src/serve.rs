use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    Hub, HubUpgrade, Refusal, ServeError, attend::Admitted, lock::lock, places::Seat, run::Run,
};

/// After the operating system refused to accept, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a request that is being answered when the hub stops.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// What one request may have in headers.
const HEADER_BYTES: usize = 16 * 1024;

impl Hub {
    /// Accepts clients from a listener of the hub's own until the hub stops.
    ///
    /// Any path is served. A socket beyond the limits is dropped unanswered. When this is dropped
    /// no more clients are accepted; those that are here stay until the hub stops.
    ///
    /// # Errors
    ///
    /// [`ServeError::NotRunning`] if the hub is not started.
    ///
    /// # Cancel safety
    ///
    /// See above: dropping it ends the accepting and nothing else.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), ServeError> {
        let run = self.run().ok_or(ServeError::NotRunning)?;
        let drain = run.drain.clone();
        while let Some(accepted) = drain.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, remote)) => self.accept(&run, stream, remote),
                Err(error) => {
                    warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        Ok(())
    }

    fn accept(&self, run: &Arc<Run>, stream: TcpStream, remote: SocketAddr) {
        let limits = &self.shared().limits;
        let seat = match self.shared().places.take(Some(remote.ip()), limits) {
            Ok(seat) => seat,
            Err(error) => return debug!(%error, %remote, "socket dropped"),
        };
        if let Err(error) = stream.set_nodelay(true) {
            return debug!(%error, %remote, "socket lost");
        }
        let (hub, drain, abort) = (self.clone(), run.drain.clone(), run.abort.clone());
        run.tasks.spawn(async move {
            let seat = Mutex::new(Some(seat));
            let answer = service_fn(|request| hub.answer(request, remote, &seat));
            let deadline = hub.shared().limits.handshake_timeout;
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(deadline)
                    .max_buf_size(HEADER_BYTES)
                    .serve_connection(TokioIo::new(stream), answer)
                    .with_upgrades()
            );
            let served = timeout(deadline, async {
                tokio::select! {
                    served = connection.as_mut() => served,
                    () = drain.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        timeout(ANSWER_TIMEOUT, connection).await.unwrap_or(Ok(()))
                    }
                }
            });
            let served = abort.run_until_cancelled(served).await;
            debug!(?served, %remote, "handshake over");
        });
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        remote: SocketAddr,
        seat: &Mutex<Option<Seat>>,
    ) -> Result<Response<String>, Infallible> {
        let seat = lock(seat).take();
        let mut response = match HubUpgrade::from_request(&mut request) {
            Ok(upgrade) => self.upgrade_with(upgrade.from_address(remote), seat).await,
            Err(refusal) => refusal.response(),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // A socket that was refused has no place to keep.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    /// Answers an upgrade request: 101, or why not.
    ///
    /// Send the response as it is. After 101 the hub attends the client on a task of its own.
    /// `TCP_NODELAY` is set where hyper serves the socket itself; where something is wrapped around
    /// it, TLS or axum's server, whoever accepts the sockets sets it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it leaves nothing behind.
    pub async fn upgrade(&self, upgrade: HubUpgrade) -> Response<String> {
        self.upgrade_with(upgrade, None).await
    }

    async fn upgrade_with(&self, upgrade: HubUpgrade, seat: Option<Seat>) -> Response<String> {
        let HubUpgrade {
            handshake,
            accept_key,
            on_upgrade,
        } = upgrade;
        let admitted = match self.admit(handshake, seat).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                debug!(%refusal, "upgrade refused");
                return refusal.response();
            }
        };
        let run = admitted.run.clone();
        let abort = run.abort.clone();
        let deadline = self.shared().limits.handshake_timeout;
        run.tasks.spawn(async move {
            let upgraded = abort.run_until_cancelled(timeout(deadline, on_upgrade));
            let upgraded = match upgraded.await {
                Some(Ok(Ok(upgraded))) => upgraded,
                Some(Ok(Err(error))) => return debug!(%error, "upgrade failed"),
                Some(Err(_)) | None => return debug!("upgrade took too long"),
            };
            // Without hyper's box around it where the socket is a plain one.
            match upgraded.downcast::<TokioIo<TcpStream>>() {
                Ok(parts) => {
                    let stream = parts.io.into_inner();
                    // An error shows on the first write as well.
                    let _ = stream.set_nodelay(true);
                    admitted.attend(stream, parts.read_buf).await;
                }
                Err(upgraded) => {
                    let stream = TokioIo::new(upgraded);
                    admitted.attend(stream, Bytes::new()).await;
                }
            }
        });
        switching_protocols(&accept_key)
    }

    pub(crate) async fn admit(
        &self,
        handshake: crate::Handshake,
        seat: Option<Seat>,
    ) -> Result<Admitted, Refusal> {
        let run = self.run().ok_or(Refusal::NotRunning)?;
        Admitted::judge(self.shared().clone(), run, handshake, seat).await
    }
}

/// RFC 6455, section 4.2.2.
fn switching_protocols(accept_key: &str) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}
