use std::time::Duration;

use steadfast_clock::Instant;
use steadfast_lease::LeaseContext;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    PolicyOutcome, PolicyStatus, Privacy, PrivacyError, Records, RetentionPolicy, Run,
    error::in_full,
    privacy::{INTERRUPTED, decide, exhausted},
};

/// A pause is so many times as long as the batch before it: a cleanup takes a quarter of one
/// writer's time at most, however slow the store is.
pub const PAUSE_FACTOR: u32 = 3;

/// The longest pause between two batches.
pub const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What ends a cleanup early.
struct Bounds {
    lease: LeaseContext,
    deadline: Instant,
    stop: CancellationToken,
}

impl Privacy {
    /// Goes through the policies; one that fails does not keep the others from their turns.
    pub(crate) async fn delete_expired(
        &self,
        run: &mut Run,
        lease: LeaseContext,
        stop: CancellationToken,
    ) -> Result<(), PrivacyError> {
        let deadline = self.clock.monotonic() + self.max_duration;
        let bounds = Bounds {
            lease,
            deadline,
            stop,
        };
        for policy in self.policies_patiently().await? {
            let outcome = self.clean_policy(run, &policy, &bounds).await;
            info!(
                records = %outcome.records,
                deleted = outcome.deleted,
                status = outcome.status.name(),
                "cleaned up",
            );
            let record = |_| self.log.record(run.id, &outcome);
            let recorded = self.retry.run(record, decide).await;
            run.policies.push(outcome);
            recorded.map_err(exhausted("store the outcome of a policy"))?;
        }
        Ok(())
    }

    async fn clean_policy(
        &self,
        run: &Run,
        policy: &RetentionPolicy,
        bounds: &Bounds,
    ) -> PolicyOutcome {
        let mut outcome = PolicyOutcome {
            records: policy.records,
            status: PolicyStatus::Succeeded,
            cutoff: policy.cutoff(run.started_at),
            deleted: 0,
            error: None,
        };
        match self.delete_all(run, &mut outcome, bounds).await {
            Ok(status) => outcome.status = status,
            Err(error) => {
                warn!(records = %policy.records, error, "could not clean up");
                outcome.status = PolicyStatus::Failed;
                outcome.error = Some(error);
            }
        }
        outcome
    }

    /// Deletes in batches, each by the policy as it stands then.
    async fn delete_all(
        &self,
        run: &Run,
        outcome: &mut PolicyOutcome,
        bounds: &Bounds,
    ) -> Result<PolicyStatus, String> {
        let records = outcome.records;
        loop {
            bounds.lease.check().map_err(|lost| in_full(&lost))?;
            if bounds.stop.is_cancelled() {
                return Err(INTERRUPTED.to_owned());
            }
            let began = self.clock.monotonic();
            if began >= bounds.deadline {
                return Err(format!("not done within {:?}", self.max_duration));
            }
            let policy = self.policy_now(records).await?;
            if policy.legal_hold {
                return Ok(PolicyStatus::Held);
            }
            if !policy.enabled {
                return Ok(PolicyStatus::Disabled);
            }
            let cutoff = policy.cutoff(run.started_at);
            outcome.cutoff = cutoff;
            let delete = |_| self.store.delete_batch(records, cutoff, self.batch);
            let deleted = self.retry.run(delete, decide).await;
            let deleted = deleted.map_err(|error| in_full(&error))?;
            outcome.deleted += deleted;
            if deleted < u64::from(self.batch) {
                return Ok(PolicyStatus::Succeeded);
            }
            let took = self.clock.monotonic().saturating_duration_since(began);
            let pause = took.saturating_mul(PAUSE_FACTOR).min(MAX_PAUSE);
            let pause = tokio::time::sleep(pause.max(self.pause));
            bounds.stop.run_until_cancelled(pause).await;
        }
    }

    async fn policy_now(&self, records: Records) -> Result<RetentionPolicy, String> {
        let policies = self.policies_patiently().await;
        let policies = policies.map_err(|error| in_full(&error))?;
        let policy = policies.into_iter().find(|it| it.records == records);
        policy.ok_or_else(|| format!("there is no policy for {records}"))
    }
}
