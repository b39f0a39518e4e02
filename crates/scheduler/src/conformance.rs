//! What every [`JobStore`] must do, to be called from the tests of an implementation.
//!
//! Each check works in a namespace of its own, in a store that may hold anything else; it panics
//! where the store does not conform.

mod claims;
mod jobs;
mod policies;
mod room;

use std::sync::Arc;

use crate::JobStore;

/// Runs every check.
///
/// # Panics
///
/// If the store does not conform.
pub async fn check_all(store: Arc<dyn JobStore>) {
    jobs::upserts(&store).await;
    jobs::changed_spec_fires_after_now_and_last(&store).await;
    jobs::row_13_concurrent_upserts_are_all_applied(&store).await;
    claims::claims(&store).await;
    claims::limits(&store).await;
    claims::fences(&store).await;
    claims::leases(&store).await;
    claims::attempts(&store).await;
    claims::releases(&store).await;
    jobs::removals(&store).await;
    jobs::pauses(&store).await;
    policies::overlaps(&store).await;
    policies::replacements(&store).await;
    policies::misfires(&store).await;
    policies::catching_up(&store).await;
    claims::requests(&store).await;
    claims::purges(&store).await;
}
