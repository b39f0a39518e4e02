//! What any implementation of the ports must do: call these from a test of yours.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Service, Signal, SignalSource, StartContext, StopContext};

/// How long an operation that is to return soon may take.
const SOON: Duration = Duration::from_secs(5);

/// Starts and stops a service that is expected to work: its spec is sound and stable, it starts
/// and stops within its own limits, answers for its health, starts again after a stop, and can be
/// stopped after a start that was dropped at its first await or given up by its token.
///
/// # Cancel safety
///
/// Dropping the future may leave the service started.
///
/// # Panics
///
/// With what the service did wrong.
pub async fn service(service: &dyn Service) {
    let spec = service.spec();
    assert_eq!(service.spec(), spec, "the spec must not change");
    assert!(!spec.name.is_empty(), "the name must not be empty");

    for round in ["first", "second"] {
        start(service, round).await;
        let health = timeout(SOON, service.health()).await;
        assert!(health.is_ok(), "health must not wait for long");
        stop(service, round).await;
    }

    poll_once(service.start(StartContext::detached(CancellationToken::new()))).await;
    stop(service, "after a dropped start").await;

    let given_up = CancellationToken::new();
    given_up.cancel();
    // Both outcomes are right; what counts is that it returns or lets itself be dropped.
    let _ = timeout(SOON, service.start(StartContext::detached(given_up))).await;
    stop(service, "after a start that was given up").await;

    start(service, "last").await;
    stop(service, "last").await;
}

/// Raises signals and reads them: none is lost before the first read, between two reads, or by
/// dropping a read.
///
/// # Cancel safety
///
/// Dropping the future may leave signals that nobody has read.
///
/// # Panics
///
/// With what the source did wrong.
pub async fn signal_source(source: &mut dyn SignalSource, raise: &mut (dyn FnMut(Signal) + Send)) {
    raise(Signal::Terminate);
    assert_eq!(read(source).await, Signal::Terminate);

    assert!(
        poll_once(source.next()).await.is_none(),
        "no signal was raised, and one was read"
    );
    raise(Signal::Interrupt);
    assert_eq!(read(source).await, Signal::Interrupt);

    raise(Signal::Terminate);
    assert_eq!(read(source).await, Signal::Terminate);
}

async fn start(service: &dyn Service, round: &str) {
    let limit = service.spec().start_timeout;
    let cx = StartContext::detached(CancellationToken::new());
    let outcome = timeout(limit, service.start(cx)).await;
    assert!(
        matches!(outcome, Ok(Ok(()))),
        "{round} start must succeed within {limit:?}: {outcome:?}"
    );
}

async fn stop(service: &dyn Service, round: &str) {
    let limit = service.spec().stop_timeout;
    let outcome = timeout(limit, service.stop(StopContext::new(limit))).await;
    assert!(
        matches!(outcome, Ok(Ok(()))),
        "stop ({round}) must succeed within {limit:?}: {outcome:?}"
    );
}

async fn read(source: &mut dyn SignalSource) -> Signal {
    match timeout(SOON, source.next()).await {
        Ok(signal) => signal,
        Err(_) => panic!("a signal that was raised was not read within {SOON:?}"),
    }
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
