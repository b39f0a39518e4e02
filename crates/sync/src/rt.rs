//! What the primitives stand on: the standard library's mutexes and atomics and tokio's timers, or
//! those of a checker that explores schedules. `docs/verification.md` says how it is used.
//!
//! Not part of the public interface. The cfgs `steadfast_loom` and `steadfast_shuttle` choose; they
//! are for tests, and come with a target folder of their own. Reference counts are the standard
//! library's throughout: no decision depends on them.

use std::sync::PoisonError;

pub use self::parts::{Mutex, MutexGuard, atomic, thread};
pub use self::thread_id::{ThreadId, thread_id};
pub use self::timer::{Sleep, sleep};

/// Locks a mutex. What a panic left behind is sound, because no user code that could panic runs
/// under a mutex but a key's `Eq`, which runs before anything is changed: there is no poison.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A function that is const, but not under loom, whose mutexes and atomics register themselves.
macro_rules! const_unless_loom {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(steadfast_loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*

        #[cfg(steadfast_loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}
pub(crate) use const_unless_loom;

/// Into how many parts a table of keys is split, a power of two. Under a checker into one: hashes
/// differ from one execution to the next, and must not decide which mutex is locked.
pub fn shards() -> usize {
    if cfg!(any(steadfast_loom, steadfast_shuttle)) {
        return 1;
    }
    let threads = std::thread::available_parallelism().map_or(4, usize::from);
    (threads * 4).next_power_of_two().min(256)
}

#[cfg(not(any(steadfast_loom, steadfast_shuttle)))]
mod parts {
    pub use std::{
        sync::{Mutex, MutexGuard, atomic},
        thread,
    };
}

#[cfg(steadfast_loom)]
mod parts {
    pub use loom::{
        sync::{Mutex, MutexGuard, atomic},
        thread,
    };
}

#[cfg(all(steadfast_shuttle, not(steadfast_loom)))]
mod parts {
    pub use shuttle::{
        sync::{Mutex, MutexGuard, atomic},
        thread,
    };
}

/// Which of the threads that are alive this is. The standard library's own number costs more: it
/// counts a reference to the thread.
#[cfg(not(any(steadfast_loom, steadfast_shuttle)))]
mod thread_id {
    use std::cell::Cell;

    /// The address of something that each thread has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ThreadId(usize);

    pub fn thread_id() -> ThreadId {
        thread_local! {
            static HERE: Cell<u8> = const { Cell::new(0) };
        }
        HERE.with(|here| ThreadId(std::ptr::from_ref(here).addr()))
    }
}

#[cfg(any(steadfast_loom, steadfast_shuttle))]
mod thread_id {
    pub use super::thread::ThreadId;

    pub fn thread_id() -> ThreadId {
        super::thread::current().id()
    }
}

#[cfg(not(any(steadfast_loom, steadfast_shuttle)))]
mod timer {
    pub use tokio::time::{Sleep, sleep};
}

/// Under a checker a timer may fire at any moment: it lets the others go first once, and whom the
/// checker lets go next is up to it.
#[cfg(any(steadfast_loom, steadfast_shuttle))]
mod timer {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    #[derive(Debug)]
    pub struct Sleep {
        has_yielded: bool,
    }

    pub fn sleep(_: Duration) -> Sleep {
        Sleep { has_yielded: false }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.has_yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
