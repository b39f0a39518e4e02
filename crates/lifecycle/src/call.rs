use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{Fault, ServiceError};

/// Runs a call of a service to its outcome, whatever that is.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, Fault> {
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Err(_) => Err(Fault::TimedOut { after: limit }),
        Ok(Err(panic)) => Err(Fault::Panicked {
            message: panic_message(panic.as_ref()),
        }),
        Ok(Ok(outcome)) => outcome.map_err(Fault::Failed),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
