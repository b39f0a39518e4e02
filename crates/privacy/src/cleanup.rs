use jiff::Timestamp;
use steadfast_clock::Instant;
use steadfast_lease::LeaseContext;
use tracing::{info, warn};

use crate::{
    PolicyOutcome, PolicyStatus, Privacy, PrivacyError, RetentionPolicy, Run,
    error::in_full,
    privacy::{decide, exhausted},
};

impl Privacy {
    /// Goes through the policies; one that fails does not keep the others from their turns.
    pub(crate) async fn delete_expired(
        &self,
        run: &mut Run,
        lease: LeaseContext,
    ) -> Result<(), PrivacyError> {
        let deadline = self.clock.monotonic() + self.max_duration;
        for policy in &self.policies {
            let cutoff = policy.cutoff(run.started_at);
            let outcome = self.clean_policy(policy, cutoff, &lease, deadline).await;
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
        policy: &RetentionPolicy,
        cutoff: Timestamp,
        lease: &LeaseContext,
        deadline: Instant,
    ) -> PolicyOutcome {
        let mut outcome = PolicyOutcome {
            records: policy.records,
            status: PolicyStatus::Succeeded,
            cutoff,
            deleted: 0,
            error: None,
        };
        if !policy.is_active() {
            outcome.status = match policy.legal_hold {
                true => PolicyStatus::Held,
                false => PolicyStatus::Disabled,
            };
            return outcome;
        }
        if let Err(error) = self.delete_all(&mut outcome, lease, deadline).await {
            warn!(records = %policy.records, error, "could not clean up");
            outcome.status = PolicyStatus::Failed;
            outcome.error = Some(error);
        }
        outcome
    }

    async fn delete_all(
        &self,
        outcome: &mut PolicyOutcome,
        lease: &LeaseContext,
        deadline: Instant,
    ) -> Result<(), String> {
        let (records, cutoff) = (outcome.records, outcome.cutoff);
        loop {
            lease.check().map_err(|lost| in_full(&lost))?;
            if self.clock.monotonic() >= deadline {
                return Err(format!("not done within {:?}", self.max_duration));
            }
            let delete = |_| self.store.delete_batch(records, cutoff, self.batch);
            let deleted = self.retry.run(delete, decide).await;
            let deleted = deleted.map_err(|error| in_full(&error))?;
            outcome.deleted += deleted;
            if deleted < u64::from(self.batch) {
                return Ok(());
            }
            tokio::time::sleep(self.pause).await;
        }
    }
}
