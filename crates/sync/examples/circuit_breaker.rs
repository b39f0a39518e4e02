//! A breaker opens after three failures and lets one probe through after a while.

use std::time::Duration;

use steadfast_sync::CircuitBreaker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let breaker = CircuitBreaker::builder()
        .name("payments")
        .consecutive_failures(3)
        .open_for(Duration::from_millis(100))
        .build()?;
    for request in 1..=6 {
        if request == 6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let call = async {
            if request < 4 {
                Err("no answer")
            } else {
                Ok("paid")
            }
        };
        let outcome = breaker.call(call, |_| true).await;
        println!("request {request}: {outcome:?}, now {:?}", breaker.state());
    }
    Ok(())
}
