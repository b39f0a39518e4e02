use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// Connections beyond this many are closed at once.
const MAX_CONNECTIONS: usize = 1024;

/// What a [`FaultProxy`] does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No fault: bytes go both ways.
    Forward,
    /// Nobody listens: the operating system refuses connections.
    Refuse,
    /// Connections are accepted and closed at once.
    AcceptThenClose,
    /// Connections are accepted and kept open, and nothing is ever answered.
    Blackhole,
}

/// A TCP proxy on 127.0.0.1 in front of a server, with a fault that can be changed.
///
/// A new fault also applies to the connections that are open: [`Fault::Blackhole`] silences them,
/// the others close them. Dropping the proxy closes everything.
///
/// # Examples
///
/// ```
/// use steadfast_testkit::{Fault, FaultProxy};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let upstream = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = FaultProxy::start(upstream.local_addr()?).await?;
/// assert!(TcpStream::connect(proxy.addr()).await.is_ok());
///
/// proxy.set(Fault::Refuse).await?;
/// assert!(TcpStream::connect(proxy.addr()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    changes: mpsc::Sender<Change>,
    /// Dropping the set ends the proxy's task.
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct Change {
    fault: Fault,
    done: oneshot::Sender<io::Result<()>>,
}

impl FaultProxy {
    /// Starts a proxy in front of `upstream` that forwards.
    ///
    /// # Errors
    ///
    /// What the operating system says when no port can be listened on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let accepted = Arc::new(AtomicU64::new(0));
        let (changes, receiver) = mpsc::channel(1);
        let mut task = JoinSet::new();
        let proxy = Proxy {
            addr,
            upstream,
            accepted: Arc::clone(&accepted),
            fault: watch::Sender::new(Fault::Forward),
            connections: JoinSet::new(),
        };
        task.spawn(proxy.run(listener, receiver));
        Ok(Self {
            addr,
            accepted,
            changes,
            _task: task,
        })
    }

    /// The address to connect to; it stays the same whatever the fault.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were accepted since the start, under any fault.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Changes the fault; it is in effect when this returns.
    ///
    /// # Errors
    ///
    /// What the operating system says when the port cannot be listened on again after
    /// [`Fault::Refuse`], because another process has taken it; the fault stays as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the fault changes.
    pub async fn set(&self, fault: Fault) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let change = Change { fault, done };
        let ended = || io::Error::other("the proxy's runtime has ended");
        self.changes.send(change).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}

struct Proxy {
    addr: SocketAddr,
    upstream: SocketAddr,
    accepted: Arc<AtomicU64>,
    fault: watch::Sender<Fault>,
    connections: JoinSet<()>,
}

impl Proxy {
    async fn run(mut self, listener: TcpListener, mut changes: mpsc::Receiver<Change>) {
        let mut listener = Some(listener);
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Some(Change { fault, done }) = change else { return };
                    // Nobody waits for the outcome if the caller went away.
                    let _ = done.send(self.change(fault, &mut listener).await);
                }
                stream = accept(listener.as_ref()) => {
                    self.accepted.fetch_add(1, Ordering::AcqRel);
                    self.serve(stream);
                }
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn change(&mut self, fault: Fault, listener: &mut Option<TcpListener>) -> io::Result<()> {
        if fault == Fault::Refuse {
            *listener = None;
        } else if listener.is_none() {
            *listener = Some(TcpListener::bind(self.addr).await?);
        }
        if fault != Fault::Blackhole {
            self.connections.shutdown().await;
        }
        self.fault.send_replace(fault);
        Ok(())
    }

    fn serve(&mut self, stream: TcpStream) {
        let fault = *self.fault.borrow();
        if self.connections.len() >= MAX_CONNECTIONS
            || matches!(fault, Fault::Refuse | Fault::AcceptThenClose)
        {
            return;
        }
        self.connections
            .spawn(forward(stream, self.upstream, self.fault.subscribe()));
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    // An error concerns the one connection that was not accepted, or a lack of file descriptors,
    // which passes.
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => tokio::task::yield_now().await,
            },
        }
    }
}

/// Copies both ways until either side closes or breaks, or the fault silences the connection.
async fn forward(mut stream: TcpStream, upstream: SocketAddr, mut fault: watch::Receiver<Fault>) {
    let silenced = async {
        // The proxy ends this task before it ends the channel.
        let _ = fault.wait_for(|fault| *fault == Fault::Blackhole).await;
    };
    let mut server = None;
    let copy = async {
        if let Ok(connected) = TcpStream::connect(upstream).await {
            // How a connection broke is for its two ends to see.
            let _ = copy_bidirectional(&mut stream, server.insert(connected)).await;
        }
    };
    tokio::select! {
        biased;
        () = silenced => std::future::pending().await,
        () = copy => {}
    }
}
