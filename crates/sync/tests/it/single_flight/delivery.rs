//! Calls that come while an outcome is being delivered are later calls: they start anew.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use steadfast_sync::SingleFlight;

use crate::support::{Boxed, WakeCount, poll, poll_with};

/// A call whose work wakes nobody: it is over at the first poll after `is_over` was set.
fn call<'a, V: Clone + Send + Sync + 'static>(
    group: &'a SingleFlight<u8, V, ()>,
    is_over: &Arc<AtomicBool>,
    value: V,
) -> Boxed<'a, Option<V>> {
    let (is_over, mut value) = (Arc::clone(is_over), Some(value));
    Box::pin(async move {
        let work = || {
            poll_fn(move |_| match is_over.load(Ordering::SeqCst) {
                true => Poll::Ready(value.take().ok_or(())),
                false => Poll::Pending,
            })
        };
        group.run(1, work).await.ok()
    })
}

/// Calls for the key as soon as it is woken.
struct CallsWhenWoken {
    group: Arc<SingleFlight<u8, u64, ()>>,
    got: Mutex<Vec<Poll<Option<u64>>>>,
}

impl Wake for CallsWhenWoken {
    fn wake(self: Arc<Self>) {
        let over = Arc::new(AtomicBool::new(true));
        let got = poll(&mut call(&self.group, &over, 2));
        self.got.lock().unwrap().push(got);
    }
}

#[test]
fn call_in_a_wake_up_by_the_landing_starts_anew() {
    let (group, is_over) = (Arc::new(SingleFlight::new()), Arc::default());
    let calls = Arc::new(CallsWhenWoken {
        group: Arc::clone(&group),
        got: Mutex::default(),
    });
    let (mut driver, mut other) = (call(&group, &is_over, 1), call(&group, &is_over, 9));
    assert!(poll(&mut driver).is_pending());
    assert!(poll_with(&mut other, &Waker::from(Arc::clone(&calls))).is_pending());
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(poll(&mut driver), Poll::Ready(Some(1)));
    assert_eq!(*calls.got.lock().unwrap(), [Poll::Ready(Some(2))]);
    assert_eq!(poll(&mut other), Poll::Ready(Some(1)));
}

/// A value that looks at the group whenever it is cloned.
struct Looks(Arc<SingleFlight<u8, Looks, ()>>, Arc<AtomicUsize>);

impl Clone for Looks {
    fn clone(&self) -> Self {
        assert_eq!(self.0.in_flight(), 0, "the flight is over by then");
        self.1.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0), Arc::clone(&self.1))
    }
}

#[test]
fn value_is_cloned_outside_of_locks_after_the_flight_is_over() {
    let (group, is_over) = (Arc::new(SingleFlight::new()), Arc::default());
    let clones = Arc::new(AtomicUsize::new(0));
    let value = || Looks(Arc::clone(&group), Arc::clone(&clones));
    let mut first = call(&group, &is_over, value());
    let mut second = call(&group, &is_over, value());
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    is_over.store(true, Ordering::SeqCst);
    assert!(poll(&mut second).is_ready());
    assert!(poll(&mut first).is_ready());
    assert!(clones.load(Ordering::SeqCst) >= 1);
    clones.store(0, Ordering::SeqCst);
    assert!(poll(&mut call(&group, &is_over, value())).is_ready());
    assert_eq!(
        clones.load(Ordering::SeqCst),
        0,
        "who is alone gets the value itself"
    );
}

#[test]
fn landing_wakes_the_others_and_not_the_caller_that_drove_it() {
    let (group, is_over) = (SingleFlight::new(), Arc::default());
    let (mut driver, mut other) = (call(&group, &is_over, 1), call(&group, &is_over, 9));
    let (drove, waited) = (Arc::<WakeCount>::default(), Arc::<WakeCount>::default());
    assert!(poll_with(&mut driver, &Waker::from(Arc::clone(&drove))).is_pending());
    assert!(poll_with(&mut other, &Waker::from(Arc::clone(&waited))).is_pending());
    is_over.store(true, Ordering::SeqCst);
    assert!(poll_with(&mut driver, &Waker::from(Arc::clone(&drove))).is_ready());
    assert_eq!((drove.get(), waited.get()), (0, 1));
    assert_eq!(poll(&mut other), Poll::Ready(Some(1)));
}
