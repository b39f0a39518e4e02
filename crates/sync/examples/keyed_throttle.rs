//! Cars that report where they are all the time: each is shown at most once in 50 ms.

use std::time::Duration;

use steadfast_sync::KeyedThrottle;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let positions = KeyedThrottle::builder(Duration::from_millis(50))
        .name("positions")
        .build()?;
    let show = positions.drive(|car: &'static str, x: u32| async move {
        println!("{car:>5} at {x:>3}");
    });
    let drive = async {
        for x in 0..100 {
            positions.call("red", x)?;
            positions.call("blue", 2 * x)?;
            sleep(Duration::from_millis(2)).await;
        }
        positions.close().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (shown, driven) = tokio::join!(show, drive);
    shown?;
    driven
}
