//! Faults at random, one after the other.

use std::time::Duration;

use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, PrivateRedis, Random, soak_time};
use tokio::time::{Instant, sleep};

/// How many milliseconds the longest fault lasts.
pub(crate) const MAX_FAULT: u64 = 2_000;

/// A server that can be hurt.
pub(crate) trait Server: Sync {
    fn pause(&self);
    fn resume(&self);
    /// Kills it and starts it again.
    fn replace(&self) -> impl Future<Output = ()> + Send;
}

impl Server for PrivatePostgres {
    fn pause(&self) {
        self.pause();
    }

    fn resume(&self) {
        self.resume();
    }

    async fn replace(&self) {
        self.kill();
        self.restart().await.unwrap();
    }
}

/// It comes back empty.
impl Server for PrivateRedis {
    fn pause(&self) {
        self.pause();
    }

    fn resume(&self) {
        self.resume();
    }

    async fn replace(&self) {
        self.kill();
        self.restart().await.unwrap();
    }
}

/// One fault of the server or of the way to it, and its end.
pub(crate) async fn hurt(server: &impl Server, proxy: &FaultProxy, random: &mut Random) {
    let long = random.below(MAX_FAULT);
    let faults = [
        Fault::Refuse,
        Fault::Reset,
        Fault::Blackhole,
        Fault::DropAnswers,
        Fault::Delay(Duration::from_millis(20)),
        Fault::AcceptThenClose,
    ];
    match random.below(10) {
        0 => {
            server.pause();
            pause(long).await;
            server.resume();
        }
        1 | 2 => server.replace().await,
        _ => {
            proxy.set(*random.pick(&faults)).await.unwrap();
            pause(long).await;
            // Connections that have seen it end with it.
            proxy.set(Fault::Reset).await.unwrap();
            proxy.set(Fault::Forward).await.unwrap();
        }
    }
}

/// Does it again and again.
pub(crate) async fn for_soak_time(mut round: impl AsyncFnMut()) {
    let end = Instant::now() + soak_time();
    while Instant::now() < end {
        round().await;
    }
}

pub(crate) async fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}
