//! A client that stops calling a service which fails or has become slow, follows what its breaker
//! does, and waits until the service is worth another try.

use std::time::Duration;

use steadfast_sync::{BreakerChanges, CallError, CircuitBreaker};
use tokio::time::sleep;

/// What an HTTP client would return.
#[derive(Debug)]
enum HttpError {
    Status(u16),
}

impl HttpError {
    /// A client's own mistake says nothing about the service.
    fn is_failure(&self) -> bool {
        match self {
            HttpError::Status(status) => *status >= 500 || *status == 429,
        }
    }
}

/// In place of a request: the service is down for its first requests and slow to say so.
async fn get(request: u32) -> Result<String, HttpError> {
    match request {
        0 => Err(HttpError::Status(404)),
        1..5 => {
            sleep(Duration::from_millis(20)).await;
            Err(HttpError::Status(503))
        }
        _ => Ok(format!("answer to request {request}")),
    }
}

async fn print(mut changes: BreakerChanges) {
    while let Some(change) = changes.next().await {
        match change {
            Ok(change) => println!("  {:?} -> {:?}: {}", change.from, change.to, change.reason),
            Err(missed) => println!("  {missed}"),
        }
    }
}

async fn client(breaker: CircuitBreaker) -> Result<(), Box<dyn std::error::Error>> {
    let mut request = 0;
    while request < 7 {
        let call = breaker.call(get(request), HttpError::is_failure);
        match call.await {
            Ok(body) => println!("request {request}: {body}"),
            Err(CallError::Failed(error)) => println!("request {request}: {error:?}"),
            Err(CallError::Open(open)) => {
                println!("not sent, retry after {:?}", open.retry_after);
                breaker.until_ready().await?;
                continue;
            }
            Err(other) => return Err(other.to_string().into()),
        }
        request += 1;
    }
    let seen = breaker.snapshot();
    println!(
        "opened {} times, rejected {} calls",
        seen.opened, seen.rejected
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let breaker = CircuitBreaker::builder()
        .name("search")
        .consecutive_failures(3)
        .failure_rate(0.5)
        .slow_call_rate(0.8, Duration::from_secs(2))
        .time_window(Duration::from_secs(30))
        .open_for(Duration::from_millis(100))
        .open_growth(2.0, Duration::from_secs(60))
        .build()?;
    // The subscription ends when the client drops the breaker.
    let ((), outcome) = tokio::join!(print(breaker.subscribe()), client(breaker));
    outcome
}
