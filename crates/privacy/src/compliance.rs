use jiff::{SignedDuration, Timestamp};
use steadfast_lease::LeaseContext;

use crate::{
    ComplianceReport, ErasureError, Finding, Operation, PolicyMeasurement, PortError, Privacy,
    PrivacyError, RetentionPolicy, Run, error::in_full,
};

/// How long after its time a record is deleted as a rule: cleanups are daily, and one may fail.
const GRACE: SignedDuration = SignedDuration::from_hours(48);

impl Privacy {
    /// Measures every policy; what cannot be measured is a finding, and makes the run a failure.
    pub(crate) async fn measure(
        &self,
        run: &mut Run,
        lease: LeaseContext,
    ) -> Result<(), PrivacyError> {
        let now = run.started_at;
        let mut findings = Vec::new();
        let mut errors = Vec::new();
        let mut policies = Vec::new();
        for policy in &self.policies_patiently().await? {
            let measured = match lease.check() {
                Ok(()) => self
                    .measure_policy(policy, now)
                    .await
                    .map_err(|error| in_full(&error)),
                Err(lost) => Err(in_full(&lost)),
            };
            let measurement = measured.unwrap_or_else(|error| {
                errors.push(format!("{}: {error}", policy.records));
                findings.push(Finding::NotMeasured {
                    records: policy.records,
                    error,
                });
                measurement(policy, None, None)
            });
            findings.extend(judge(policy, &measurement, now));
            policies.push(measurement);
        }
        let last_cleanup = match self.log.last_success(Operation::Cleanup).await {
            Ok(last) => {
                let last = last.map(|last| last.started_at);
                if last.is_none_or(|last| last < before_grace(now)) {
                    findings.push(Finding::NoRecentCleanup { last });
                }
                last
            }
            Err(error) => {
                errors.push(format!("the last cleanup: {}", in_full(&error)));
                None
            }
        };
        let overdue_erasures = match self.overdue_erasures(now).await {
            Ok(overdue) => overdue,
            Err(error) => {
                errors.push(format!("the overdue erasures: {}", in_full(&error)));
                None
            }
        };
        if let Some(count @ 1..) = overdue_erasures {
            findings.push(Finding::OverdueErasures { count });
        }
        run.error = (!errors.is_empty()).then(|| errors.join("; "));
        run.report = Some(ComplianceReport {
            measured_at: now,
            last_cleanup,
            overdue_erasures,
            policies,
            findings,
        });
        Ok(())
    }

    async fn overdue_erasures(&self, now: Timestamp) -> Result<Option<u64>, ErasureError> {
        match &self.erasures {
            Some(erasures) => erasures.count_overdue(before_grace(now)).await.map(Some),
            None => Ok(None),
        }
    }

    async fn measure_policy(
        &self,
        policy: &RetentionPolicy,
        now: Timestamp,
    ) -> Result<PolicyMeasurement, PortError> {
        let expired = self
            .store
            .count_expired(policy.records, policy.cutoff(now))
            .await?;
        let oldest = self.store.oldest(policy.records).await?;
        Ok(measurement(policy, Some(expired), oldest))
    }
}

fn measurement(
    policy: &RetentionPolicy,
    past_retention: Option<u64>,
    oldest: Option<Timestamp>,
) -> PolicyMeasurement {
    PolicyMeasurement {
        records: policy.records,
        days: policy.days,
        enabled: policy.enabled,
        legal_hold: policy.legal_hold,
        past_retention,
        oldest,
    }
}

fn judge(
    policy: &RetentionPolicy,
    measurement: &PolicyMeasurement,
    now: Timestamp,
) -> Option<Finding> {
    let records = policy.records;
    if !policy.enabled {
        return Some(Finding::Disabled { records });
    }
    let overdue = before_grace(policy.cutoff(now));
    let oldest = measurement
        .oldest
        .filter(|oldest| *oldest < overdue && !policy.legal_hold)?;
    Some(Finding::Overdue { records, oldest })
}

fn before_grace(at: Timestamp) -> Timestamp {
    at.checked_sub(GRACE).unwrap_or(Timestamp::MIN)
}
