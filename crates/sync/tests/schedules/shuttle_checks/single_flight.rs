use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use shuttle::future::{block_on, yield_now};
use steadfast_sync::{FlightError, SingleFlight};

use super::{at_most, explore, patience, race};

/// Work that is never polled again once other work has begun.
async fn work(begun: Arc<AtomicUsize>) -> Result<usize, usize> {
    let number = begun.fetch_add(1, Ordering::SeqCst);
    for _ in 0..2 {
        yield_now().await;
        assert_eq!(begun.load(Ordering::SeqCst), number + 1, "two at once");
    }
    if number.is_multiple_of(2) {
        Ok(number)
    } else {
        Err(number)
    }
}

#[test]
fn dropped_leaders_change_nothing_for_those_who_joined() {
    explore(|| {
        let (group, begun) = (SingleFlight::new(), Arc::new(AtomicUsize::new(0)));
        race(4, |_| {
            let (begun, patience) = (Arc::clone(&begun), patience());
            let run = group.run(1, move || work(begun));
            match block_on(at_most(patience, run)) {
                None => assert_ne!(patience, usize::MAX),
                Some(Ok(number)) => assert_eq!(number % 2, 0),
                Some(Err(FlightError::Failed(number))) => assert_eq!(*number % 2, 1),
                Some(Err(error)) => panic!("{error}"),
            }
        });
        assert_eq!(group.in_flight(), 0);
        assert_eq!(Arc::strong_count(&begun), 1);
    });
}
