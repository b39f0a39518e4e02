//! A search box: a run for each pause in the typing, and none for a letter in between.

use std::time::Duration;

use steadfast_sync::Debounce;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let search = Debounce::builder(Duration::from_millis(50))
        .name("search")
        .max_wait(Duration::from_millis(500))
        .build()?;
    let drive = search.drive(|text: &'static str| async move {
        println!("searching for {text:?}");
        sleep(Duration::from_millis(20)).await;
    });
    let typing = async {
        for (text, pause) in [("s", 10), ("st", 10), ("sta", 100), ("star", 0)] {
            println!("typed {text:?}");
            search.call(text)?;
            sleep(Duration::from_millis(pause)).await;
        }
        search.close().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (driven, typed) = tokio::join!(drive, typing);
    driven?;
    typed
}
