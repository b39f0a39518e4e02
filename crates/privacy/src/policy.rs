use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BuildError, Records};

/// For how long one kind of record is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionPolicy {
    /// Which records.
    pub records: Records,
    /// For how many days they are kept.
    pub days: u32,
    /// The fewest days that may be set.
    pub min_days: u32,
    /// The most days that may be set.
    pub max_days: u32,
    /// Whether a legal hold keeps them all, however old they are.
    pub legal_hold: bool,
    /// Whether they are deleted at all; where they are not, they are not past retention either.
    pub enabled: bool,
    /// Why it was changed last, in the words of whoever did.
    pub reason: Option<String>,
    /// Grows by one with each change; 1 for a policy that was never changed.
    pub version: u64,
    /// When it was changed last.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub updated_at: Option<Timestamp>,
}

/// What to change of a policy; what is absent stays, but for the reason, which is that of this
/// change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyPatch {
    /// For how many days to keep the records, within the policy's caps.
    pub days: Option<u32>,
    /// Whether to delete them at all.
    pub enabled: Option<bool>,
    /// Whether a legal hold keeps them all.
    pub legal_hold: Option<bool>,
    /// Why, in 1 to 500 characters.
    pub reason: Option<String>,
}

/// A change of a policy, to be stored as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// How it was.
    pub before: RetentionPolicy,
    /// How it is to be, with the next version.
    pub after: RetentionPolicy,
    /// On whose behalf, for the store's own records.
    pub by: ChangedBy,
}

/// On whose behalf something is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedBy {
    /// Who.
    pub user: Option<Uuid>,
    /// From where.
    pub address: Option<IpAddr>,
    /// By which request.
    pub request: Option<Uuid>,
}

/// The longest reason of a change, in characters.
const MAX_REASON: usize = 500;

impl RetentionPolicy {
    /// The policy for `records` that stands unless another is set.
    #[must_use]
    pub const fn default_for(records: Records) -> Self {
        let (days, min_days, max_days) = match records {
            Records::ReadNotifications => (90, 1, 3_650),
            Records::UnreadNotifications => (180, 7, 3_650),
            Records::UserEvents => (7, 1, 30),
            Records::Occurrences | Records::PrivacyRuns => (400, 30, 3_650),
            Records::IdempotencyKeys => (1, 1, 30),
            Records::Sessions => (30, 1, 365),
            Records::AuditEntries => (365, 90, 3_650),
        };
        Self {
            records,
            days,
            min_days,
            max_days,
            legal_hold: false,
            enabled: true,
            reason: None,
            version: 1,
            updated_at: None,
        }
    }

    /// One default policy for each kind of record.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        Records::ALL.map(Self::default_for).to_vec()
    }

    /// The time before which records are past retention.
    #[must_use]
    pub fn cutoff(&self, now: Timestamp) -> Timestamp {
        let kept = SignedDuration::from_hours(24 * i64::from(self.days));
        now.checked_sub(kept).unwrap_or(Timestamp::MIN)
    }

    /// Whether a cleanup deletes anything under this policy.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.enabled && !self.legal_hold
    }

    /// This policy with what was stored of it, within the caps that stand now.
    pub(crate) fn overlaid(&self, stored: &Self) -> Self {
        Self {
            days: stored.days.clamp(self.min_days, self.max_days),
            min_days: self.min_days,
            max_days: self.max_days,
            ..stored.clone()
        }
    }

    /// This policy changed, with the next version.
    pub(crate) fn patched(&self, patch: &PolicyPatch, now: Timestamp) -> Result<Self, BuildError> {
        let reason = patch.reason.as_deref().map(str::trim);
        if reason.is_some_and(|reason| !(1..=MAX_REASON).contains(&reason.chars().count())) {
            return Err(BuildError {
                field: "reason".to_owned(),
                problem: format!("must be 1 to {MAX_REASON} characters"),
            });
        }
        let days = patch.days.unwrap_or(self.days);
        if !(self.min_days..=self.max_days).contains(&days) {
            return Err(BuildError {
                field: "days".to_owned(),
                problem: format!("must be from {} to {}", self.min_days, self.max_days),
            });
        }
        Ok(Self {
            days,
            enabled: patch.enabled.unwrap_or(self.enabled),
            legal_hold: patch.legal_hold.unwrap_or(self.legal_hold),
            reason: reason.map(str::to_owned),
            version: self.version + 1,
            updated_at: Some(now),
            ..self.clone()
        })
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.min_days == 0 || self.min_days > self.max_days {
            return Err(BuildError {
                field: format!("{}.min_days", self.records),
                problem: format!("must be from 1 to max_days, {}", self.max_days),
            });
        }
        if !(self.min_days..=self.max_days).contains(&self.days) {
            return Err(BuildError {
                field: format!("{}.days", self.records),
                problem: format!("must be from {} to {}", self.min_days, self.max_days),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_caps_and_name_each_kind_once() {
        let policies = RetentionPolicy::defaults();
        assert!(policies.iter().all(|policy| policy.check().is_ok()));
        assert!(
            policies
                .iter()
                .map(|policy| policy.records)
                .eq(Records::ALL)
        );
    }

    #[test]
    fn cutoff_lies_days_back() {
        let policy = RetentionPolicy::default_for(Records::IdempotencyKeys);
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        assert_eq!(policy.cutoff(now).to_string(), "2026-03-01T12:00:00Z");
        assert_eq!(policy.cutoff(Timestamp::MIN), Timestamp::MIN);
    }

    #[test]
    fn days_beyond_a_cap_are_refused_by_name() {
        let mut policy = RetentionPolicy::default_for(Records::Sessions);
        for days in [0, 366] {
            policy.days = days;
            assert_eq!(policy.check().unwrap_err().field, "sessions.days");
        }
        policy.min_days = 0;
        assert_eq!(policy.check().unwrap_err().field, "sessions.min_days");
    }
}
