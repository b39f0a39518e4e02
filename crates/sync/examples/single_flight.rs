//! Five requests for one page render it once, though the first of them gives up.

use std::{convert::Infallible, time::Duration};

use steadfast_sync::SingleFlight;
use tokio::time::{sleep, timeout};

async fn render(page: &'static str) -> Result<String, Infallible> {
    println!("rendering {page}");
    sleep(Duration::from_millis(50)).await;
    Ok(format!("<h1>{page}</h1>"))
}

#[tokio::main]
async fn main() {
    let pages = SingleFlight::named("pages");
    let page = || pages.run("index", || render("index"));
    let impatient = timeout(Duration::from_millis(10), page());
    let (impatient, a, b, c, d) = tokio::join!(impatient, page(), page(), page(), page());
    println!("{impatient:?}\n{:?}", [a, b, c, d]);
    println!("in flight: {}", pages.in_flight());
}
