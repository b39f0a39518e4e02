//! Initialisation cell: cached readers, attempts and resets at the same time.

use std::sync::Arc;

use loom::{
    future::block_on,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use steadfast_sync::{InitCell, InitError, InitState};

use super::explore;

type Cell = InitCell<u64, ()>;

fn initialise(cell: &Cell) -> Result<Arc<u64>, InitError<()>> {
    block_on(cell.get_or_init(|generation| async move { Ok(generation) }))
}

#[test]
fn cached_reader_never_returns_a_value_that_was_reset_before() {
    explore(|| {
        let (cell, reset) = (Arc::new(Cell::new()), Arc::new(AtomicBool::new(false)));
        initialise(&cell).unwrap();
        let mut cached = cell.cached();
        assert_eq!(cached.get().map(|value| **value), Some(1));
        let thread = {
            let (cell, reset) = (Arc::clone(&cell), Arc::clone(&reset));
            thread::spawn(move || {
                assert_eq!(cell.reset().as_deref(), Some(&1));
                reset.store(true, Ordering::Release);
                assert_eq!(*initialise(&cell).unwrap(), 2);
            })
        };
        let was_reset = reset.load(Ordering::Acquire);
        let seen = cached.get().map(|value| **value);
        if was_reset {
            assert_ne!(seen, Some(1), "stale");
        }
        // Once it has seen the second generation, it never goes back.
        if seen == Some(2) {
            assert_eq!(cached.get().map(|value| **value), Some(2));
        }
        thread.join().unwrap();
        assert_eq!(cached.get().map(|value| **value), Some(2));
    });
}

#[test]
fn attempt_that_was_reset_publishes_nothing() {
    explore(|| {
        let cell = Arc::new(Cell::new());
        let attempt = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || initialise(&cell))
        };
        let taken = cell.reset();
        match attempt.join().unwrap() {
            Ok(_) if taken.is_some() => assert_eq!(cell.state(), InitState::Idle),
            // The reset came first, and found nothing to reset.
            Ok(_) => assert_eq!(cell.state(), InitState::Ready(1)),
            Err(InitError::Reset) => assert_eq!(cell.state(), InitState::Idle),
            Err(error) => panic!("{error}"),
        }
    });
}
