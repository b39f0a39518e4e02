use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use steadfast_lifecycle::ServiceError;

/// What one service makes when it starts and those that depend on it use: empty while it is down.
pub(super) struct Slot<T> {
    of: &'static str,
    content: Arc<Mutex<Option<Arc<T>>>>,
}

impl<T> Slot<T> {
    /// An empty slot of the service `of`.
    pub(super) fn empty(of: &'static str) -> Self {
        Self {
            of,
            content: Arc::default(),
        }
    }

    pub(super) fn fill(&self, content: T) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(content));
    }

    pub(super) fn take(&self) -> Option<Arc<T>> {
        self.content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(super) fn peek(&self) -> Option<Arc<T>> {
        self.content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The content, for a service that depends on it.
    pub(super) fn get(&self) -> Result<Arc<T>, ServiceError> {
        self.peek()
            .ok_or_else(|| ServiceError::permanent(format!("{} is not up", self.of)))
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self {
            of: self.of,
            content: self.content.clone(),
        }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Slot({}, {})",
            self.of,
            if self.peek().is_some() {
                "full"
            } else {
                "empty"
            }
        )
    }
}
