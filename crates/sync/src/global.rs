//! One instance of each primitive for the whole process, by the names of the system that this
//! crate's primitives come from.
//!
//! For programs that want that shape: nothing to build, nothing to hand around. Libraries take
//! their primitives as arguments instead, and so does every other crate of the workspace: what is
//! global couples all who use it, a key or a limit is shared with strangers, and a test can change
//! it only for the whole process.
//!
//! Each is made when it is first asked for, with the name of its function, and is listed in
//! [`Registry::global`](crate::Registry::global). They live as long as the process. Keep the `Arc`
//! where it is used often: asking takes a mutex for a moment.
#![cfg_attr(
    feature = "test-util",
    doc = "
With the feature `test-util` a test puts its own in the place of one, for as long as it holds what
`replace_…` returns."
)]
//!
//! | function | what it is |
//! |---|---|
//! | [`async_lock`], [`database_lock`], [`web_socket_lock`], [`scheduler_lock`] | locks by keys of type `String` |
//! | [`database_semaphore`] | 10 permits |
//! | [`api_rate_limiter`] | 100 at once, 100 a second |
//! | [`database_circuit_breaker`] | opens after 5 failures in a row, for 60 s |
//!
//! # Examples
//!
//! ```
//! use steadfast_sync::global;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lock = global::database_lock();
//! let _guard = lock.lock("migrations".to_owned()).await?;
//! let _connection = global::database_semaphore().acquire_owned(1).await?;
//! # Ok(()) }
//! ```

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{AsyncLock, CircuitBreaker, ConfigError, Quota, RateLimiter, Semaphore};

/// Defines what there is: a place, the function that hands the instance out, and the one that puts
/// another in its place.
macro_rules! instances {
    ($($(#[$doc:meta])* $place:ident, $get:ident, $replace:ident: $type:ty = $make:expr;)*) => {$(
        static $place: Global<$type> = Global::new(|| $make);

        $(#[$doc])*
        #[must_use]
        pub fn $get() -> Arc<$type> {
            $place.get()
        }

        #[doc = concat!("Puts `instance` in the place of [`", stringify!($get), "`] until what it \
            returns is dropped. Feature `test-util`.")]
        #[cfg(feature = "test-util")]
        pub fn $replace(instance: Arc<$type>) -> Replaced<$type> {
            $place.replace(instance)
        }
    )*};
}

instances! {
    /// The lock for everything that has none of its own.
    ASYNC_LOCK, async_lock, replace_async_lock: AsyncLock<String>
        = AsyncLock::builder().name("async_lock").build();

    /// The lock for operations on the database.
    DATABASE_LOCK, database_lock, replace_database_lock: AsyncLock<String>
        = AsyncLock::builder().name("database_lock").build();

    /// The lock for operations on WebSocket connections.
    WEB_SOCKET_LOCK, web_socket_lock, replace_web_socket_lock: AsyncLock<String>
        = AsyncLock::builder().name("web_socket_lock").build();

    /// The lock for operations on scheduled jobs.
    SCHEDULER_LOCK, scheduler_lock, replace_scheduler_lock: AsyncLock<String>
        = AsyncLock::builder().name("scheduler_lock").build();

    /// The limit on concurrent use of the database: 10 permits.
    DATABASE_SEMAPHORE, database_semaphore, replace_database_semaphore: Semaphore
        = Semaphore::builder(10).name("database_semaphore").build();

    /// The limit on requests: 100 at once, 100 a second.
    API_RATE_LIMITER, api_rate_limiter, replace_api_rate_limiter: RateLimiter
        = RateLimiter::builder(Quota::per_second(100)?).name("api_rate_limiter").build();

    /// The breaker in front of the database: it opens after 5 failures in a row, for 60 s.
    DATABASE_CIRCUIT_BREAKER, database_circuit_breaker, replace_database_circuit_breaker:
        CircuitBreaker
        = CircuitBreaker::builder()
            .name("database_circuit_breaker")
            .consecutive_failures(5)
            .open_for(Duration::from_secs(60))
            .build();
}

/// A place for one instance. It is the standard library's mutex, as in the registry.
struct Global<T> {
    slot: Mutex<Option<Arc<T>>>,
    make: fn() -> Result<T, ConfigError>,
}

impl<T> Global<T> {
    const fn new(make: fn() -> Result<T, ConfigError>) -> Self {
        let slot = Mutex::new(None);
        Self { slot, make }
    }

    fn get(&self) -> Arc<T> {
        let mut slot = self.slot();
        let instance = slot.get_or_insert_with(|| match (self.make)() {
            Ok(instance) => Arc::new(instance),
            // The settings are constants that a test builds.
            Err(refused) => unreachable!("{refused}"),
        });
        Arc::clone(instance)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "test-util")]
pub use self::replaced::Replaced;

#[cfg(feature = "test-util")]
mod replaced {
    use std::{fmt, mem, sync::Arc};

    use super::Global;

    impl<T> Global<T> {
        pub(super) fn replace(&'static self, instance: Arc<T>) -> Replaced<T> {
            Replaced {
                place: self,
                former: self.swap(Some(instance)),
            }
        }

        fn swap(&self, instance: Option<Arc<T>>) -> Option<Arc<T>> {
            mem::replace(&mut *self.slot(), instance)
        }
    }

    /// A replacement of a global instance. Dropping it puts the former one back.
    ///
    /// The place is the process's: tests that replace the same one at the same time, on threads of
    /// one process, get in each other's way. Of nested replacements the inner one is dropped first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use steadfast_sync::{Semaphore, global};
    ///
    /// # fn main() -> Result<(), steadfast_sync::ConfigError> {
    /// let replaced = global::replace_database_semaphore(Arc::new(Semaphore::new(1)?));
    /// assert_eq!(global::database_semaphore().capacity(), 1);
    /// drop(replaced);
    /// assert_eq!(global::database_semaphore().capacity(), 10);
    /// # Ok(()) }
    /// ```
    #[must_use = "the former instance is put back as soon as this is dropped"]
    pub struct Replaced<T: 'static> {
        place: &'static Global<T>,
        /// `None` if it had not been asked for yet.
        former: Option<Arc<T>>,
    }

    impl<T> Drop for Replaced<T> {
        fn drop(&mut self) {
            let replacement = self.place.swap(self.former.take());
            drop(replacement);
        }
    }

    impl<T> fmt::Debug for Replaced<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Replaced").finish_non_exhaustive()
        }
    }
}
