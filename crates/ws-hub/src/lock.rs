use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose critical sections never leave the value half-changed, so that a panic
/// elsewhere does not make it unusable.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
