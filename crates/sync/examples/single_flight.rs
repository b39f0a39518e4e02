//! A cache whose misses do not stampede: a hundred requests find the same page missing, and it is
//! rendered once, though the first of them gives up.

use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_sync::{FlightError, SingleFlight};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

type Page = Arc<str>;

struct Pages {
    cache: Mutex<HashMap<String, Page>>,
    renders: SingleFlight<String, Page, io::Error>,
}

impl Pages {
    async fn get(self: Arc<Self>, path: &str) -> Result<Page, FlightError<io::Error>> {
        if let Some(page) = self.cached(path) {
            return Ok(page);
        }
        let (pages, key) = (Arc::clone(&self), path.to_owned());
        let path = key.clone();
        let render = || async move {
            // Another flight may have landed between our look at the cache and the call.
            if let Some(page) = pages.cached(&path) {
                return Ok(page);
            }
            let page = render(&path).await?;
            pages.remember(path, Arc::clone(&page));
            Ok(page)
        };
        self.renders.run(key, render).await
    }

    fn cached(&self, path: &str) -> Option<Page> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(path).cloned()
    }

    fn remember(&self, path: String, page: Page) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(path, page);
    }
}

/// Stands for what takes long.
async fn render(path: &str) -> io::Result<Page> {
    println!("rendering {path}");
    sleep(Duration::from_millis(50)).await;
    Ok(format!("<h1>{path}</h1>").into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pages = Arc::new(Pages {
        cache: Mutex::default(),
        renders: SingleFlight::builder().name("pages").build()?,
    });
    let mut requests = JoinSet::new();
    let first = timeout(Duration::from_millis(10), Arc::clone(&pages).get("index"));
    for _ in 1..100 {
        let pages = Arc::clone(&pages);
        requests.spawn(async move { pages.get("index").await });
    }
    println!("the first request: {:?}", first.await);
    let served = requests.join_all().await.into_iter().flatten().count();
    println!("{served} served, {:?}", pages.renders.snapshot());
    Ok(())
}
