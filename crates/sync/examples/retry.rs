//! A call that fails twice and then succeeds, with growing random delays.

use std::{io, time::Duration};

use steadfast_sync::{Decision, Retry};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let retry = Retry::builder()
        .initial_delay(Duration::from_millis(100))
        .deadline(Duration::from_secs(10))
        .build()?;
    let call = |attempt| async move {
        println!("attempt {attempt}");
        match attempt {
            1 | 2 => Err(io::Error::from(io::ErrorKind::TimedOut)),
            _ => Ok("answer"),
        }
    };
    let classify = |error: &io::Error| match error.kind() {
        io::ErrorKind::TimedOut => Decision::Retry,
        _ => Decision::Stop,
    };
    println!("{}", retry.run(call, classify).await?);
    Ok(())
}
