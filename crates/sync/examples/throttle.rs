//! A progress display that is drawn at once, then at most every 50 ms, and once more at the end.

use std::time::Duration;

use steadfast_sync::Throttle;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let progress = Throttle::new(Duration::from_millis(50))?;
    let draw = progress.drive(|percent: u8| async move { println!("{percent:>3} %") });
    let work = async {
        for percent in 0..=100 {
            progress.call(percent)?;
            sleep(Duration::from_millis(2)).await;
        }
        progress.close().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (drawn, worked) = tokio::join!(draw, work);
    drawn?;
    worked
}
