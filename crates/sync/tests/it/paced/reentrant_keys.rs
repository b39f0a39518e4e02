//! Keys are user code: nothing is locked while they are touched.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Weak},
};

use steadfast_sync::KeyedDebounce;
use tokio::time::advance;

use crate::support::{millis, poll};

/// A key that looks at the instance whenever it is hashed, cloned or dropped: it would deadlock if
/// that happened under an internal lock.
struct Looks {
    name: u32,
    at: Weak<KeyedDebounce<Looks, ()>>,
}

impl Looks {
    fn look(&self) {
        if let Some(debounce) = self.at.upgrade() {
            let _ = debounce.len();
        }
    }
}

impl PartialEq for Looks {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Looks {}

impl Hash for Looks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.look();
        self.name.hash(state);
    }
}

impl Clone for Looks {
    fn clone(&self) -> Self {
        self.look();
        let at = Weak::clone(&self.at);
        Self {
            name: self.name,
            at,
        }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_hashed_cloned_and_dropped_outside_of_locks() {
    let builder = KeyedDebounce::builder(millis(5)).max_keys(3);
    let debounce = Arc::new(builder.build().unwrap());
    let key = |name| {
        let at = Arc::downgrade(&debounce);
        Looks { name, at }
    };
    for name in [1, 1, 2, 3] {
        debounce.call(key(name), ()).unwrap();
    }
    assert!(debounce.call(key(4), ()).is_err());
    debounce.cancel(&key(2));
    debounce.flush(&key(3));
    assert!(debounce.is_pending(&key(3)));
    let mut driver = Box::pin(debounce.drive(|_, ()| async {}));
    assert!(poll(&mut driver).is_pending());
    advance(millis(10)).await;
    debounce.call(key(5), ()).unwrap();
    let (driven, closed) = tokio::join!(driver, debounce.close());
    assert_eq!((driven, closed), (Ok(()), Ok(())));
    assert!(debounce.is_empty());
}
