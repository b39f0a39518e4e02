use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::time::timeout;

use crate::{Fault, ServiceError};

/// Runs a call of a service to its outcome, whatever that is.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, Fault> {
    match timeout(limit, Contained(Some(Box::pin(call)))).await {
        Err(_) => Err(Fault::TimedOut { after: limit }),
        Ok(Err(panic)) => Err(Fault::Panicked {
            message: panic_message(panic.as_ref()),
        }),
        Ok(Ok(outcome)) => outcome.map_err(Fault::Failed),
    }
}

/// A call whose panics end here: those of its polls, and those of its drop when it is given up.
struct Contained<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Contained<F> {
    type Output = thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.0 else {
            return Poll::Pending;
        };
        match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        let call = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(call))) {
            let message = panic_message(panic.as_ref());
            tracing::error!(message, "a call of a service panicked when it was dropped");
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
