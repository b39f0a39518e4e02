use std::{convert::Infallible, error::Error};

use async_singleflight::Group;
use moka::future::Cache;
use steadfast_sync::SingleFlight;
use tokio::{join, task::yield_now};

use crate::{
    harness::Case,
    machine::versioned,
    run::{alone as in_one_task, scattered},
};

const KEYS: u64 = 1024;

pub(super) fn alone() -> Result<Case, Box<dyn Error>> {
    let key = |number| scattered(number, KEYS);
    let flights = SingleFlight::<u64, u64, Infallible>::new();
    let ours = in_one_task(OURS, async move |number| {
        let flight = flights.run(key(number), async move || Ok(number));
        assert!(flight.await.is_ok());
    })?;
    let group = asyncband::singleflight::Group::<u64, u64>::new();
    let asyncbands = in_one_task(asyncbands(), async move |number| {
        group.work(key(number), async move || number).await;
    })?;
    let group = Group::<u64, u64, Infallible>::new();
    let async_singleflights = in_one_task(async_singleflights(), async move |number| {
        let work = async move { Ok(number) };
        assert!(group.work(&key(number), work).await.is_ok());
    })?;
    let cache = Cache::<u64, u64>::new(0);
    let mokas = in_one_task(mokas(), async move |number| {
        cache.get_with(key(number), async move { number }).await;
    })?;
    Ok(Case::new(ours)
        .against(asyncbands.at_most(1.0))
        .against(async_singleflights)
        .against(mokas)
        .note(MOKA))
}

pub(super) fn joined() -> Result<Case, Box<dyn Error>> {
    let flights = SingleFlight::<u64, u64, Infallible>::new();
    let ours = in_one_task(OURS, async move |number| {
        let run = || flights.run(0, move || later(number));
        let (first, ..) = join!(run(), run(), run(), run(), run(), run(), run(), run());
        assert!(first.is_ok());
    })?;
    let group = asyncband::singleflight::Group::<u64, u64>::new();
    let asyncbands = in_one_task(asyncbands(), async move |number| {
        let run = || group.work(0, async move || number_later(number).await);
        join!(run(), run(), run(), run(), run(), run(), run(), run());
    })?;
    let group = Group::<u64, u64, Infallible>::new();
    let async_singleflights = in_one_task(async_singleflights(), async move |number| {
        let run = || group.work(&0, later(number));
        let (first, ..) = join!(run(), run(), run(), run(), run(), run(), run(), run());
        assert!(first.is_ok());
    })?;
    let cache = Cache::<u64, u64>::new(0);
    let mokas = in_one_task(mokas(), async move |number| {
        let run = || cache.get_with(0, number_later(number));
        join!(run(), run(), run(), run(), run(), run(), run(), run());
    })?;
    Ok(Case::new(ours)
        .against(asyncbands)
        .against(async_singleflights)
        .against(mokas)
        .note(MOKA))
}

const MOKA: &str = "moka has a capacity of zero, so that it keeps no value and each call starts \
                    work, as ours does; it still looks into the cache first.";

async fn later(number: u64) -> Result<u64, Infallible> {
    Ok(number_later(number).await)
}

async fn number_later(number: u64) -> u64 {
    yield_now().await;
    number
}

const OURS: &str = "steadfast-sync SingleFlight";

fn asyncbands() -> String {
    versioned("asyncband") + " Group"
}

fn async_singleflights() -> String {
    versioned("async_singleflight") + " Group"
}

fn mokas() -> String {
    versioned("moka") + " Cache::get_with"
}
