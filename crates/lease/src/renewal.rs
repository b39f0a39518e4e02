use std::sync::Arc;

use tokio::time::{sleep, timeout};

use crate::{
    Grant, LockBackend, LossReason,
    builder::Limits,
    caught::caught,
    context::{Holding, LoseOnDrop},
    spread::spread,
};

/// Renews a lease over and over, and ends by giving it up: at once if the backend says that it is
/// gone or fails for good, else when less than the margin is left of it.
pub(crate) async fn renew_until_lost(
    backend: Arc<dyn LockBackend>,
    limits: Limits,
    grant: Grant,
    holding: Arc<Holding>,
) {
    // Whatever ends this, also where the clock panics.
    let _given_up = LoseOnDrop {
        holding: Arc::clone(&holding),
        reason: LossReason::Refused {
            message: "the renewal panicked".to_owned(),
        },
    };
    let mut pause = limits.renew_every;
    let mut attempt = 0;
    let reason = loop {
        sleep(pause.min(holding.renewable())).await;
        let left = holding.renewable();
        if left.is_zero() {
            break LossReason::Expired;
        }
        // Short enough for another attempt, should this one hang.
        let limit = left.min(limits.renew_every);
        let trouble = match timeout(limit, caught(|| backend.renew(&grant, limits.ttl))).await {
            Ok(Ok(Some(renewed))) => {
                holding.extend(&renewed);
                pause = limits.renew_every;
                continue;
            }
            Ok(Ok(None)) => break LossReason::Taken,
            Ok(Err(error)) if !error.is_transient() => {
                let message = error.to_string();
                break LossReason::Refused { message };
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(key = %grant.key, fence = grant.fence, trouble, "lease was not renewed");
        attempt += 1;
        pause = spread(limits.retry_every, &grant.owner, attempt);
    };
    tracing::warn!(key = %grant.key, fence = grant.fence, %reason, "lease lost");
    holding.lose(reason);
}
