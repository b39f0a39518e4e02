use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// Connections beyond this many are closed at once.
const MAX_CONNECTIONS: usize = 1024;
/// How much is read at once.
const MAX_READ: usize = 16 * 1024;

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
    /// Bytes go both ways, each read of up to 16 KiB this much later; a connection's start is not
    /// delayed.
    Delay(Duration),
    /// Connections are accepted and reset (TCP `RST`), those that are open too.
    Reset,
    /// What the client sends arrives and what the server answers vanishes: a commit is done and its
    /// confirmation lost. That the server closes is still passed on.
    DropAnswers,
}

impl Fault {
    /// Whether a connection that is open under this fault stays open under `next`.
    fn keeps_open(self, next: Self) -> bool {
        use Fault::{Blackhole, Delay, DropAnswers, Forward};
        next == self
            || next == Blackhole
            || matches!(
                (self, next),
                (Forward | Delay(_), Forward | Delay(_) | DropAnswers)
            )
    }
}

/// A TCP proxy on 127.0.0.1 in front of a server, with a fault that can be changed.
///
/// A new fault also applies to the connections that are open: [`Fault::Blackhole`] silences them;
/// [`Fault::Delay`], [`Fault::DropAnswers`] and [`Fault::Forward`] go on with those that have lost
/// nothing, which are the ones forwarded or delayed so far; everything else closes them. Dropping
/// the proxy closes everything.
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
    open: Arc<AtomicUsize>,
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
        let open = Arc::new(AtomicUsize::new(0));
        let (changes, receiver) = mpsc::channel(1);
        let mut task = JoinSet::new();
        let proxy = Proxy {
            addr,
            upstream,
            accepted: Arc::clone(&accepted),
            open: Arc::clone(&open),
            fault: watch::Sender::new(Fault::Forward),
            connections: JoinSet::new(),
        };
        task.spawn(proxy.run(listener, receiver));
        Ok(Self {
            addr,
            accepted,
            open,
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

    /// How many connections are open. Under [`Fault::Blackhole`] one counts until the next fault,
    /// also where the client has closed it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Changes the fault; it is in effect for every byte that arrives after this returns.
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
    open: Arc<AtomicUsize>,
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
        if fault == Fault::Reset {
            // The connections see to it themselves, at once.
            self.fault.send_replace(fault);
            while self.connections.join_next().await.is_some() {}
            return Ok(());
        }
        if !self.fault.borrow().keeps_open(fault) {
            self.connections.shutdown().await;
        }
        self.fault.send_replace(fault);
        Ok(())
    }

    fn serve(&mut self, stream: TcpStream) {
        let fault = *self.fault.borrow();
        if fault == Fault::Reset {
            reset(&stream);
        }
        if self.connections.len() >= MAX_CONNECTIONS
            || matches!(fault, Fault::Refuse | Fault::AcceptThenClose | Fault::Reset)
        {
            return;
        }
        let open = Open::count(&self.open);
        let forward = forward(stream, self.upstream, self.fault.subscribe());
        self.connections.spawn(async move {
            let _open = open;
            forward.await;
        });
    }
}

/// Counts a connection for as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
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

/// Copies both ways until either side breaks, both close, or the fault resets the connection.
async fn forward(mut stream: TcpStream, upstream: SocketAddr, fault: watch::Receiver<Fault>) {
    let mut server = None;
    let mut resets = fault.clone();
    let copy = async {
        heard(&mut fault.clone()).await;
        if let Ok(connected) = TcpStream::connect(upstream).await {
            let (from_client, to_client) = stream.split();
            let (from_server, to_server) = server.insert(connected).split();
            // How a connection broke is for its two ends to see.
            let _ = tokio::try_join!(
                pump(from_client, to_server, fault.clone(), false),
                pump(from_server, to_client, fault, true),
            );
        }
    };
    let is_reset = tokio::select! {
        biased;
        Ok(_) = resets.wait_for(|fault| *fault == Fault::Reset) => true,
        () = copy => false,
    };
    if is_reset {
        reset(&stream);
        server.as_ref().map(reset);
    }
}

/// Copies one way until the reader's end, which is passed on.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    are_answers: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; MAX_READ];
    loop {
        let length = from.read(&mut buffer).await?;
        let now = *fault.borrow();
        if let Fault::Delay(delay) = now {
            tokio::time::sleep(delay).await;
        }
        let now = heard(&mut fault).await;
        if length == 0 {
            return to.shutdown().await;
        }
        if now != Fault::DropAnswers || !are_answers {
            to.write_all(&buffer[..length]).await?;
        }
    }
}

/// The fault in effect, once it is not the one that silences.
async fn heard(fault: &mut watch::Receiver<Fault>) -> Fault {
    let heard = fault.wait_for(|fault| *fault != Fault::Blackhole).await;
    match heard.map(|fault| *fault) {
        Ok(fault) => fault,
        // The proxy ends this task before it ends the channel.
        Err(_) => std::future::pending().await,
    }
}

/// Has the operating system reset the connection when it is dropped.
fn reset(stream: &TcpStream) {
    // What fails is a connection that has ended already.
    let _ = stream.set_zero_linger();
}
