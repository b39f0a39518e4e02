use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Sleep, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use crate::{Disconnect, Limits, outbox::Outbox};

/// tungstenite allocates its read buffer eagerly, 128 KiB by default; it grows for a larger
/// message.
const READ_BUFFER: usize = 2 * 1024;
/// tungstenite writes to the socket when this much is buffered, or on a flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// A larger message goes out in fragments of this many bytes (RFC 6455, section 5.4):
/// tungstenite keeps a buffer as large as the largest frame for ever, and tells of no progress
/// within a frame.
const FRAGMENT_BYTES: usize = WRITE_BUFFER;
/// What is read and thrown away after our close frame.
const LINGER_BYTES: usize = 1024 * 1024;
/// For how long.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// One WebSocket: frames in, and the outbox out.
///
/// Writing goes on in every call that waits. All state is kept here, so that each call can be
/// dropped and made again without losing a message.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: WebSocketStream<S>,
    outbox: Arc<Outbox>,
    /// What is left of a message that goes out in fragments.
    rest: Bytes,
    unflushed: bool,
    /// tungstenite's buffer is full.
    blocked: bool,
    write_timeout: Duration,
    /// Runs while the socket takes no byte.
    stall: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn new(stream: S, read: Bytes, outbox: Arc<Outbox>, limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // Room for a frame, its header and answers to the peer's pings above the buffer.
            .max_write_buffer_size(WRITE_BUFFER + 2 * FRAGMENT_BYTES)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let (read, role, config) = (read.to_vec(), Role::Server, Some(config));
        Self {
            stream: WebSocketStream::from_partially_read(stream, read, role, config).await,
            outbox,
            rest: Bytes::new(),
            unflushed: false,
            blocked: false,
            write_timeout: limits.write_timeout,
            stall: None,
            peer_closed: false,
        }
    }

    /// The next message of the client, or why there is none. `alive` is called for each frame.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when dropped.
    pub(crate) async fn next(&mut self, mut alive: impl FnMut()) -> Result<Utf8Bytes, Disconnect> {
        poll_fn(|cx| {
            if let Poll::Ready(disconnect) = self.poll_output(cx) {
                return Poll::Ready(Err(disconnect));
            }
            self.poll_input(cx, &mut alive)
        })
        .await
    }

    /// Runs `work`, writing meanwhile; the client's frames wait.
    ///
    /// # Cancel safety
    ///
    /// `work` is dropped with it; nothing queued is lost.
    pub(crate) async fn while_writing<T>(
        &mut self,
        work: impl Future<Output = Result<T, Disconnect>>,
    ) -> Result<T, Disconnect> {
        let mut work = pin!(work);
        // What the work queues wakes this task, so that it is written in the next round.
        poll_fn(|cx| match self.poll_output(cx) {
            Poll::Ready(disconnect) => Poll::Ready(Err(disconnect)),
            Poll::Pending => work.as_mut().poll(cx),
        })
        .await
    }

    /// Writes what waits and a close frame, then waits for the peer's.
    ///
    /// True if the peer answered, or had closed before, within the deadline.
    ///
    /// # Cancel safety
    ///
    /// When dropped the closing is left half done: the socket is then fit to be dropped only.
    pub(crate) async fn close(&mut self, disconnect: &Disconnect, deadline: Duration) -> bool {
        timeout(deadline, self.close_in_order(disconnect))
            .await
            .unwrap_or(false)
    }

    async fn close_in_order(&mut self, disconnect: &Disconnect) -> bool {
        if self.peer_closed {
            // tungstenite has queued the answer.
            let _ = poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await;
            self.end().await;
            return true;
        }
        if disconnect.is_eviction() {
            // A close frame may come between two fragments.
            self.rest.clear();
        }
        while let Some(frame) = self.next_frame() {
            if self.send(frame).await.is_err() {
                return false;
            }
        }
        let frame = CloseFrame {
            code: disconnect.code.into(),
            reason: disconnect.reason.as_ref().into(),
        };
        if self.send(Message::Close(Some(frame))).await.is_err() {
            return false;
        }
        loop {
            match poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await {
                Some(Ok(Message::Close(_))) => {
                    self.end().await;
                    return true;
                }
                Some(Ok(_)) => {}
                // After an error of an earlier read tungstenite reads no more.
                Some(Err(_)) | None => break,
            }
        }
        self.end().await;
        let _ = timeout(LINGER_TIME, self.linger()).await;
        true
    }

    /// Ends our side of the stream. Where that fails the peer was first.
    async fn end(&mut self) {
        let _ = self.stream.get_mut().shutdown().await;
    }

    /// Throws away what the peer still sends, up to a bound: a reset for bytes that nobody reads
    /// would overtake our close frame.
    async fn linger(&mut self) {
        let stream = self.stream.get_mut();
        // Not in the future of every connection that lives.
        let mut buffer = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_ready(cx)).await?;
        Pin::new(&mut self.stream).start_send(message)?;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await
    }

    /// Moves the outbox into the socket; ready when the connection must end.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        if let Poll::Ready(disconnect) = self.outbox.poll_closing(cx) {
            return Poll::Ready(disconnect);
        }
        let written = ready!(self.poll_write(cx));
        Poll::Ready(match written {
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Disconnect::CONNECTION_CLOSED,
            Err(_) => Disconnect::WRITE_ERROR,
            Ok(()) => Disconnect::SLOW,
        })
    }

    /// Ready with an error, or with `Ok` when the socket has taken nothing for too long.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if Pin::new(&mut self.stream).poll_ready(cx)?.is_pending() {
                self.blocked = true;
                return self.poll_stall(cx);
            }
            if std::mem::replace(&mut self.blocked, false) {
                self.stall = None;
            }
            let Poll::Ready(frame) = self.poll_frame(cx) else {
                break;
            };
            Pin::new(&mut self.stream).start_send(frame)?;
            self.unflushed = true;
        }
        if self.unflushed {
            if Pin::new(&mut self.stream).poll_flush(cx)?.is_pending() {
                return self.poll_stall(cx);
            }
            self.unflushed = false;
        }
        self.stall = None;
        Poll::Pending
    }

    /// The next frame of what waits, if anything does.
    fn next_frame(&mut self) -> Option<Message> {
        match self.poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        let first = self.rest.is_empty();
        if first {
            self.rest = ready!(self.outbox.poll_take(cx));
        }
        let fragment = self.rest.split_to(self.rest.len().min(FRAGMENT_BYTES));
        let kind = if first { Data::Text } else { Data::Continue };
        let last = self.rest.is_empty();
        // Known to be UTF-8, so that a frame of bytes saves a second check.
        let frame = Frame::message(fragment, OpCode::Data(kind), last);
        Poll::Ready(Message::Frame(frame))
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let timeout = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(timeout)));
        stall.as_mut().poll(cx).map(Ok)
    }

    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        alive: &mut impl FnMut(),
    ) -> Poll<Result<Utf8Bytes, Disconnect>> {
        loop {
            let message = match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(verdict(&error))),
                None => return Poll::Ready(Err(Disconnect::CONNECTION_CLOSED)),
            };
            alive();
            match message {
                Message::Text(text) => return Poll::Ready(Ok(text)),
                Message::Binary(_) => return Poll::Ready(Err(Disconnect::BAD_REQUEST)),
                Message::Close(_) => {
                    self.peer_closed = true;
                    return Poll::Ready(Err(Disconnect::CONNECTION_CLOSED));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

/// What an error of the reading side means for the client.
fn verdict(error: &Error) -> Disconnect {
    match error {
        Error::Capacity(_) => Disconnect::MESSAGE_TOO_BIG,
        Error::Utf8(_) => Disconnect::INVALID_DATA,
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing,
        ) => Disconnect::CONNECTION_CLOSED,
        Error::Protocol(_) => Disconnect::PROTOCOL_ERROR,
        _ => Disconnect::CONNECTION_CLOSED,
    }
}
