use std::{future::poll_fn, sync::Arc};

use tokio::runtime::Handle;
use tracing::{debug, warn};

use super::entry::Orphan;

/// Goes on with a flight that nobody waits for, in a task that lives no longer than the flight.
pub(super) fn detach<K, V, E>(orphan: Orphan<K, V, E>)
where
    K: Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let core = Arc::clone(&orphan.core);
    // A member from here on: when it is dropped, so is the work.
    let member = orphan.adopt();
    let Ok(runtime) = Handle::try_current() else {
        drop(member);
        warn!(
            name = core.name,
            "flight abandoned: no runtime to detach it to"
        );
        return;
    };
    drop(runtime.spawn(async move {
        let _ = poll_fn(|cx| member.drive(cx)).await;
    }));
    debug!(name = core.name, "flight detached");
}
