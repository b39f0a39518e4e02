use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use crate::{
    ChangedBy, PolicyChange, PolicyPatch, PortError, Privacy, PrivacyError, Records,
    RetentionPolicy, privacy::decide,
};

/// How often a change without an expected version is tried while others change the policy too.
const MAX_TRIES: u32 = 8;

/// The policies as this process last saw them, for those who must not show what is past retention.
///
/// Clones share it. [`Privacy`] keeps it up to date with each change and each run of its own, and
/// with each [`Privacy::refresh`]: a change by another process is seen as late as that.
#[derive(Clone, Debug)]
pub struct PolicySnapshot(Arc<RwLock<Vec<RetentionPolicy>>>);

impl Default for PolicySnapshot {
    /// The default policies.
    fn default() -> Self {
        Self(Arc::new(RwLock::new(RetentionPolicy::defaults())))
    }
}

impl PolicySnapshot {
    /// The time before which records are past retention and not to be shown, whether or not they
    /// are deleted already; `None`: all are to be shown. A legal hold keeps records from being
    /// deleted, not from being hidden.
    #[must_use]
    pub fn cutoff(&self, records: Records, now: Timestamp) -> Option<Timestamp> {
        let policies = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let policy = policies.iter().find(|policy| policy.records == records)?;
        policy.enabled.then(|| policy.cutoff(now))
    }

    /// Takes in what was read; a policy that is newer here stays.
    pub(crate) fn take_in(&self, read: &[RetentionPolicy]) {
        let mut policies = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for policy in read {
            match policies.iter_mut().find(|it| it.records == policy.records) {
                Some(known) if known.version > policy.version => {}
                Some(known) => known.clone_from(policy),
                None => policies.push(policy.clone()),
            }
        }
    }
}

impl Privacy {
    /// The policies in force, as they are stored.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Policies`](PrivacyError::Policies).
    pub async fn policies(&self) -> Result<Vec<RetentionPolicy>, PrivacyError> {
        let policies = self.try_policies().await;
        policies.map_err(|source| PrivacyError::Policies {
            action: "read",
            source,
        })
    }

    /// The policy for `records` in force; `None`: there is none.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Policies`](PrivacyError::Policies).
    pub async fn policy(&self, records: Records) -> Result<Option<RetentionPolicy>, PrivacyError> {
        let policies = self.policies().await?;
        Ok(policies.into_iter().find(|it| it.records == records))
    }

    /// Brings the [`PolicySnapshot`] up to date with what is stored.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the snapshot is as it was.
    ///
    /// # Errors
    ///
    /// [`Policies`](PrivacyError::Policies).
    pub async fn refresh(&self) -> Result<(), PrivacyError> {
        self.policies().await.map(drop)
    }

    /// Changes the policy for `records`: only from the version that is `expected`, if one is.
    ///
    /// A run at work looks at the policy again before each batch.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the change is stored or not.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`](PrivacyError::InvalidPolicy),
    /// [`PolicyVersion`](PrivacyError::PolicyVersion) if it has another version than expected, or
    /// others keep changing it, [`Policies`](PrivacyError::Policies).
    pub async fn change_policy(
        &self,
        records: Records,
        patch: &PolicyPatch,
        expected: Option<u64>,
        by: ChangedBy,
    ) -> Result<RetentionPolicy, PrivacyError> {
        for _ in 0..MAX_TRIES {
            let Some(before) = self.policy(records).await? else {
                return Err(PrivacyError::InvalidPolicy {
                    field: "records".to_owned(),
                    problem: format!("there is no policy for {records}"),
                });
            };
            if expected.is_some_and(|version| version != before.version) {
                return Err(PrivacyError::PolicyVersion { records });
            }
            let after = before.patched(patch, self.now());
            let after = after.map_err(|error| PrivacyError::InvalidPolicy {
                field: error.field,
                problem: error.problem,
            })?;
            let by = by.clone();
            let change = PolicyChange { before, after, by };
            let stored = self.policy_store.store(&change).await;
            let stored = stored.map_err(|source| PrivacyError::Policies {
                action: "store",
                source,
            })?;
            if stored {
                self.snapshot.take_in(std::slice::from_ref(&change.after));
                return Ok(change.after);
            }
        }
        Err(PrivacyError::PolicyVersion { records })
    }

    /// As [`policies`](Self::policies), patient with a store that is busy for a moment.
    pub(crate) async fn policies_patiently(&self) -> Result<Vec<RetentionPolicy>, PrivacyError> {
        let read = self.retry.run(|_| self.try_policies(), decide).await;
        read.map_err(|error| PrivacyError::Policies {
            action: "read",
            source: error
                .into_last()
                .unwrap_or_else(|| PortError::transient("it does not answer in time")),
        })
    }

    async fn try_policies(&self) -> Result<Vec<RetentionPolicy>, PortError> {
        let stored = self.policy_store.load().await?;
        let overlaid = self.base_policies.iter().map(|base| {
            let stored = stored.iter().find(|it| it.records == base.records);
            stored.map_or_else(|| base.clone(), |stored| base.overlaid(stored))
        });
        let policies: Vec<_> = overlaid.collect();
        self.snapshot.take_in(&policies);
        Ok(policies)
    }
}
