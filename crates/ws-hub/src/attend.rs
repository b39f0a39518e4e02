use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use steadfast_clock::Instant;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout_at,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use crate::{
    AuthenticateError, Disconnect, Handshake, PortError, Refusal, outbox::Outbox, places::Seat,
    run::Run, session::Session, shared::Shared, socket::Socket,
};

/// A client that may open its WebSocket.
#[derive(Debug)]
pub(crate) struct Admitted {
    shared: Arc<Shared>,
    pub(crate) run: Arc<Run>,
    /// Boxed: it is large, and only needed up to the connect command.
    handshake: Box<Handshake>,
    _seat: Seat,
    /// Makes a shutdown wait, from before the run is seen to go on until the client is counted.
    token: TaskTrackerToken,
}

impl Admitted {
    /// Judges a client before its upgrade is answered.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when dropped.
    pub(crate) async fn judge(
        shared: Arc<Shared>,
        run: Arc<Run>,
        mut handshake: Handshake,
        seat: Option<Seat>,
    ) -> Result<Self, Refusal> {
        let token = run.tasks.token();
        if run.drain.is_cancelled() {
            return Err(Refusal::NotRunning);
        }
        shared.origins.check(&handshake.headers)?;
        let seat = match seat {
            Some(seat) => seat,
            None => {
                let address = handshake.remote.map(|remote| remote.ip());
                shared.places.take(address, &shared.limits)?
            }
        };
        if handshake.identity.is_none() {
            let deadline = shared.clock.monotonic() + shared.limits.authenticate_timeout;
            let call = shared.authenticator.handshake(&handshake);
            let judged = run.drain.run_until_cancelled(timeout_at(deadline, call));
            let identity = match judged.await.ok_or(Refusal::NotRunning)? {
                Ok(identity) => identity,
                Err(elapsed) => Err(AuthenticateError::Unavailable {
                    source: PortError::transient("authenticate the handshake", elapsed),
                }),
            };
            handshake.identity = identity.map_err(|source| Refusal::Authenticate { source })?;
        }
        Ok(Self {
            shared,
            run,
            handshake: Box::new(handshake),
            _seat: seat,
            token,
        })
    }

    /// Attends the client to its end; `read` is what was read of its stream already.
    ///
    /// # Cancel safety
    ///
    /// When dropped the client is deregistered and its socket cut.
    pub(crate) async fn attend<S>(self, stream: S, read: Bytes)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let (run, _token) = (self.run.clone(), self.token.clone());
        // Pinned here: as an argument it would be stored twice more.
        let conversation = pin!(self.converse(stream, read));
        let count = match run.abort.run_until_cancelled(conversation).await {
            Some(true) => &run.graceful,
            Some(false) | None => &run.forced,
        };
        // Only a shutdown counts.
        if run.drain.is_cancelled() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn converse<S>(self, stream: S, read: Bytes) -> bool
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let Self {
            shared,
            run,
            handshake,
            _seat,
            ..
        } = self;
        let limits = shared.limits.clone();
        let outbox = Arc::new(Outbox::new(&limits));
        let mut socket = Socket::new(stream, read, outbox.clone(), &limits).await;
        let deadline = shared.clock.monotonic() + limits.connect_timeout;
        let mut session = Session::new(shared, run.clone(), handshake, outbox);

        let connected = tokio::select! {
            biased;
            connected = connect(&mut socket, &mut session, deadline) => connected,
            () = run.drain.cancelled() => Err(Disconnect::SHUTDOWN),
        };
        let disconnect = match connected {
            Ok(()) => talk(&mut socket, &mut session).await,
            Err(disconnect) => disconnect,
        };
        debug!(%disconnect, "client leaves");
        session.end(&disconnect);
        socket.close(&disconnect, limits.close_timeout).await
    }
}

/// Up to the connect command, under one deadline.
async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    session: &mut Session,
    deadline: Instant,
) -> Result<(), Disconnect> {
    while session.connection().is_none() {
        let message = match timeout_at(deadline, socket.next(|| {})).await {
            Ok(message) => message?,
            Err(_) => return Err(Disconnect::STALE),
        };
        socket.while_writing(session.handle(&message)).await?;
    }
    Ok(())
}

/// From the connect command to the end.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    session: &mut Session,
) -> Disconnect {
    loop {
        let connection = session.connection();
        let next = socket.next(|| {
            if let Some(connection) = connection {
                connection.touch();
            }
        });
        let handled = match next.await {
            Ok(message) => socket.while_writing(session.handle(&message)).await,
            Err(disconnect) => Err(disconnect),
        };
        if let Err(disconnect) = handled {
            return disconnect;
        }
    }
}
