use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::BackendError;

/// The answer of a call of the backend. Where it panics that is a permanent error: nothing is known
/// of its effect, and the same call may well panic again.
pub(crate) async fn caught<T, F>(call: impl FnOnce() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    // The call itself may panic, too, before there is a future.
    let mut call = pin!(async { call().await });
    poll_fn(|cx| {
        // Nothing is looked at after a panic but what the backend shares with its other calls.
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(error(&*panic))))
    })
    .await
}

fn error(panic: &(dyn Any + Send)) -> BackendError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    BackendError::permanent(match message {
        Some(message) => format!("the backend panicked: {message}"),
        None => "the backend panicked".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, ready},
        panic::resume_unwind,
    };

    use super::*;

    /// A call that panics before there is a future, without a word on standard error.
    fn call(panic: Box<dyn Any + Send>) -> Ready<Result<(), BackendError>> {
        resume_unwind(panic)
    }

    #[tokio::test]
    async fn panic_of_the_call_or_of_its_future_is_a_permanent_error_with_its_message() {
        let message = "the backend panicked: no such pool";
        let panics: [(Box<dyn Any + Send>, _); 3] = [
            (Box::new("no such pool"), message),
            (Box::new("no such pool".to_owned()), message),
            (Box::new(7), "the backend panicked"),
        ];
        for (panic, message) in panics {
            let error = caught(|| call(panic)).await.unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!error.is_transient());
        }
        let late = async || -> Result<(), BackendError> {
            tokio::task::yield_now().await;
            resume_unwind(Box::new("no such pool"))
        };
        let error = caught(late).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[tokio::test]
    async fn answer_is_passed_on() {
        assert_eq!(caught(|| ready(Ok(7))).await.unwrap(), 7);
    }
}
