use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use crate::{
    rt::{self, Mutex},
    slab::Slab,
};

/// A few futures that run side by side. Each is polled only after it was woken, at O(1) a wake.
pub(super) struct RunSet<F> {
    runs: Slab<F>,
    /// A waker for each place, for whichever future has it.
    wakers: Vec<Waker>,
    woken: Arc<Mutex<Woken>>,
}

#[derive(Default)]
struct Woken {
    /// The places to poll, each of them once.
    queue: VecDeque<usize>,
    is_queued: Vec<bool>,
    driver: Option<Waker>,
}

/// The waker of one place.
struct Place {
    index: usize,
    woken: Arc<Mutex<Woken>>,
}

impl<F: Future<Output = ()> + Unpin> RunSet<F> {
    pub(super) fn new() -> Self {
        Self {
            runs: Slab::new(),
            wakers: Vec::new(),
            woken: Arc::new(Mutex::new(Woken::default())),
        }
    }

    /// Whom to wake when one of the futures is woken. To be set before they are polled.
    pub(super) fn set_waker(&self, cx: &mut Context<'_>) {
        let waker = cx.waker().clone();
        let old = rt::lock(&self.woken).driver.replace(waker);
        drop(old);
    }

    /// Adds a future, to be polled soon.
    pub(super) fn push(&mut self, future: F) {
        let index = self.runs.insert(future);
        while self.wakers.len() <= index {
            let place = Place {
                index: self.wakers.len(),
                woken: Arc::clone(&self.woken),
            };
            self.wakers.push(Waker::from(Arc::new(place)));
            rt::lock(&self.woken).is_queued.push(false);
        }
        rt::lock(&self.woken).enqueue(index);
    }

    /// Polls one of the futures that were woken; says whether there was one.
    pub(super) fn poll_next(&mut self) -> bool {
        let Some(index) = rt::lock(&self.woken).dequeue() else {
            return false;
        };
        let (Some(run), Some(waker)) = (self.runs.get_mut(index), self.wakers.get(index)) else {
            return true;
        };
        if Pin::new(run)
            .poll(&mut Context::from_waker(waker))
            .is_ready()
        {
            let done = self.runs.remove(index);
            drop(done);
        }
        true
    }
}

impl<F> Drop for RunSet<F> {
    fn drop(&mut self) {
        // A waker of a run may outlive the set; the task that drove it need not.
        let driver = rt::lock(&self.woken).driver.take();
        drop(driver);
    }
}

impl Woken {
    fn enqueue(&mut self, index: usize) -> bool {
        let Some(is_queued) = self.is_queued.get_mut(index) else {
            return false;
        };
        let is_new = !std::mem::replace(is_queued, true);
        if is_new {
            self.queue.push_back(index);
        }
        is_new
    }

    fn dequeue(&mut self) -> Option<usize> {
        let index = self.queue.pop_front()?;
        if let Some(is_queued) = self.is_queued.get_mut(index) {
            *is_queued = false;
        }
        Some(index)
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut woken = rt::lock(&self.woken);
        let is_new = woken.enqueue(self.index);
        let driver = if is_new { woken.driver.take() } else { None };
        drop(woken);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}
