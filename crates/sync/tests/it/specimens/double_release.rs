//! Row 6: a lock whose handle can be released twice, which lets two of the waiters in.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use steadfast_sync::AsyncLock;

use crate::{
    linearizability::{
        checker::NotLinearizable,
        line::{Line, LockOfKey, Recorded, Refusal},
    },
    support::{Boxed, poll},
};

/// One holds, two wait, the holder releases as often as it can: the history has to be
/// linearizable.
fn check<L: Line>(line: L) -> Result<(), NotLinearizable> {
    let recorded = Recorded::new(line);
    {
        let first = recorded.try_take(1).unwrap();
        let wait = || -> Boxed<'_, _> { Box::pin(recorded.take(1, usize::MAX)) };
        let (mut second, mut third) = (wait(), wait());
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        recorded.give_back(first, 1);
        let _second = poll(&mut second);
        let _third = poll(&mut third);
    }
    recorded.check(1)
}

#[derive(Default)]
struct ReleaseTwice(Mutex<State>);

#[derive(Default)]
struct State {
    is_locked: bool,
    /// Set for those who are let in.
    waiting: VecDeque<Arc<AtomicBool>>,
}

impl ReleaseTwice {
    /// Hands on to the next, without a look at who calls.
    fn release(&self) {
        let mut state = self.0.lock().unwrap();
        match state.waiting.pop_front() {
            Some(next) => next.store(true, Ordering::SeqCst),
            None => state.is_locked = false,
        }
    }
}

impl Line for ReleaseTwice {
    type Held<'a> = ();

    fn try_take(&self, _: usize) -> Result<(), Refusal> {
        let was_locked = std::mem::replace(&mut self.0.lock().unwrap().is_locked, true);
        if was_locked {
            Err(Refusal::Unavailable)
        } else {
            Ok(())
        }
    }

    async fn take(&self, units: usize) -> Result<(), Refusal> {
        if self.try_take(units).is_err() {
            let let_in = Arc::new(AtomicBool::new(false));
            self.0
                .lock()
                .unwrap()
                .waiting
                .push_back(Arc::clone(&let_in));
            poll_fn(|_| match let_in.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }
        Ok(())
    }

    fn give_back(&self, _: ()) {
        self.release();
        self.release();
    }
}

#[test]
fn row_06_second_holder_after_a_double_release_is_found_and_the_lock_has_none() {
    let fault = format!("{:?}", check(ReleaseTwice::default()).unwrap_err());
    assert_eq!(fault.matches("Outcome").count(), 2, "{fault}");
    check(LockOfKey(AsyncLock::new(), 1)).unwrap();
}
