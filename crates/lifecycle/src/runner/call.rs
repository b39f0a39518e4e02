use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use steadfast_clock::Instant;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{FailureReporter, Fault, StartContext, StopContext, call::within, failure::Sender};

/// How long a start that is given up may take to return after its token was cancelled, before its
/// future is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// A start or a stop of a service that has been entered.
pub(super) struct Call {
    pub(super) index: usize,
    pub(super) kind: Kind,
    pub(super) begun: Instant,
    pub(super) outcome: BoxFuture<'static, Result<(), Fault>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start { incarnation: u64 },
    Stop,
}

/// The outcome of the call at work; pending if there is none.
pub(super) async fn outcome(call: &mut Option<Call>) -> Result<(), Fault> {
    match call {
        Some(call) => (&mut call.outcome).await,
        None => pending().await,
    }
}

impl Runner {
    /// Enters the start of a service, again because it had failed if `restarted`.
    ///
    /// The call ends with the start, or [`CANCEL_GRACE`] after its token was cancelled.
    pub(super) fn start(&mut self, index: usize, restarted: bool) -> Call {
        let node = &self.graph.nodes[index];
        self.starts += 1;
        let incarnation = self.starts;
        let token = CancellationToken::new();
        let sender = Sender {
            index,
            rank: node.rank,
            incarnation,
        };
        let cx = StartContext::new(
            token.clone(),
            FailureReporter::new(sender, Arc::clone(&self.failures)),
            self.board.handle.clone(),
        );
        self.board.starting(index, restarted);
        let begun = self.board.clock.monotonic();
        self.entered.push(index);
        let slot = &mut self.slots[index];
        slot.token = Some(token.clone());
        slot.incarnation = incarnation;
        let service = Arc::clone(&node.service);
        let limit = node.spec.start_timeout;
        let start = async move {
            tokio::select! {
                biased;
                outcome = within(limit, async move { service.start(cx).await }) => outcome,
                fault = given_up(&token) => Err(fault),
            }
        };
        Call {
            index,
            kind: Kind::Start { incarnation },
            begun,
            outcome: start.boxed(),
        }
    }

    /// Enters the stop of a service.
    pub(super) fn stop(&mut self, index: usize) -> Call {
        let node = &self.graph.nodes[index];
        let slot = &mut self.slots[index];
        if let Some(token) = slot.token.take() {
            token.cancel();
        }
        slot.incarnation = 0;
        self.falling -= usize::from(std::mem::take(&mut slot.falling));
        let begun = self.board.clock.monotonic();
        let limit = node.spec.stop_timeout;
        let service = Arc::clone(&node.service);
        let stop = async move { service.stop(StopContext::new(limit)).await };
        Call {
            index,
            kind: Kind::Stop,
            begun,
            outcome: within(limit, stop).boxed(),
        }
    }
}

async fn given_up(token: &CancellationToken) -> Fault {
    token.cancelled().await;
    sleep(CANCEL_GRACE).await;
    Fault::TimedOut {
        after: CANCEL_GRACE,
    }
}
