//! Row 1: a second caller of `initialize()` returns at once, while the first is still at work.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use steadfast_sync::InitCell;
use tokio::task::yield_now;

use super::Checked;
use crate::support::{Boxed, poll};

trait Service: Sync {
    fn initialise(&self) -> impl Future<Output = ()> + Send;
    fn is_ready(&self) -> bool;
}

/// Whoever asked for the service goes on only when it is ready.
fn check(service: &impl Service) -> Checked {
    let call = || -> Boxed<'_, ()> { Box::pin(service.initialise()) };
    let mut calls = vec![(1, call()), (2, call())];
    while !calls.is_empty() {
        for (number, mut call) in std::mem::take(&mut calls) {
            if poll(&mut call).is_pending() {
                calls.push((number, call));
            } else if !service.is_ready() {
                return Err(format!("call {number} returned before it was ready"));
            }
        }
    }
    Ok(())
}

async fn work() {
    for _ in 0..3 {
        yield_now().await;
    }
}

#[derive(Default)]
struct FlagAndReturn {
    is_initialising: AtomicBool,
    is_ready: AtomicBool,
}

impl Service for FlagAndReturn {
    async fn initialise(&self) {
        if self.is_initialising.swap(true, Ordering::SeqCst) {
            return;
        }
        work().await;
        self.is_ready.store(true, Ordering::SeqCst);
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }
}

impl Service for InitCell<(), ()> {
    async fn initialise(&self) {
        let attempt = |_| async {
            work().await;
            Ok(())
        };
        self.get_or_init(attempt).await.unwrap();
    }

    fn is_ready(&self) -> bool {
        self.get().is_some()
    }
}

#[tokio::test]
async fn row_01_return_before_the_service_is_ready_is_found_and_the_cell_has_none() {
    let fault = check(&FlagAndReturn::default()).unwrap_err();
    assert_eq!(fault, "call 2 returned before it was ready");
    assert_eq!(check(&InitCell::new()), Ok(()));
}
