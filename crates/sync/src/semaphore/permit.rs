use std::{fmt, ops::Deref, sync::Arc};

use tracing::trace;

use super::core::Core;
use crate::overdue::Timing;

/// Permits in use; dropping it gives them back.
#[must_use = "the permits are given back as soon as this is dropped"]
pub struct Permit<'a>(pub(super) Held<&'a Core>);

/// A [`Permit`] that keeps its semaphore alive, so that it can be moved into a task.
#[must_use = "the permits are given back as soon as this is dropped"]
pub struct OwnedPermit(pub(super) Held<Arc<Core>>);

impl Permit<'_> {
    /// How many permits these are.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.0.permits
    }
}

impl OwnedPermit {
    /// How many permits these are.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.0.permits
    }
}

/// Permits in use, through a reference or an `Arc`.
pub(super) struct Held<R: Deref<Target = Core>> {
    semaphore: R,
    permits: usize,
    holder: usize,
    timing: Timing,
}

impl<R: Deref<Target = Core>> Held<R> {
    pub(super) fn new(semaphore: R, permits: usize, holder: usize, timing: Timing) -> Self {
        Self {
            semaphore,
            permits,
            holder,
            timing,
        }
    }

    pub(super) fn semaphore(&self) -> &Core {
        &self.semaphore
    }
}

impl<R: Deref<Target = Core>> Drop for Held<R> {
    fn drop(&mut self) {
        let core = &*self.semaphore;
        let is_measured = self.timing.is_measured();
        if is_measured || !core.state().release_unmeasured(self.holder) {
            core.release(self.holder);
        }
        trace!(name = core.name, permits = self.permits, "permits released");
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Permit");
        debug
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("OwnedPermit");
        debug
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}
