//! An editor that saves each document once its author pauses; what changed meanwhile is saved
//! together, documents side by side.

use std::{collections::BTreeSet, time::Duration};

use steadfast_sync::KeyedDebounce;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let saves = KeyedDebounce::builder(Duration::from_millis(50))
        .name("saves")
        .max_wait(Duration::from_secs(1))
        .max_keys(10_000)
        .max_concurrency(4)
        .fold(|mut lines: BTreeSet<u32>, mut changed| {
            lines.append(&mut changed);
            lines
        })
        .build()?;
    let drive = saves.drive(|document: &'static str, lines: BTreeSet<u32>| async move {
        println!("saving lines {lines:?} of {document}");
        sleep(Duration::from_millis(20)).await;
    });
    let typing = async {
        for (document, line) in [("a.txt", 1), ("b.txt", 7), ("a.txt", 2), ("a.txt", 1)] {
            println!("line {line} of {document} changed");
            saves.call(document, BTreeSet::from([line]))?;
            sleep(Duration::from_millis(10)).await;
        }
        saves.close().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (driven, typed) = tokio::join!(drive, typing);
    driven?;
    typed
}
