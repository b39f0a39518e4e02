use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ComplianceReport, Records};

/// Names one [`Run`]; a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
pub struct RunId(Uuid);

/// What is done under a lock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Operation {
    /// Deletes what is past retention.
    Cleanup,
    /// Measures how far the policies are kept.
    Compliance,
    /// Carries out requests for erasure.
    Erasure,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::Cleanup, Self::Compliance, Self::Erasure];
}

/// Who asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Trigger {
    /// Its schedule.
    Schedule,
    /// Somebody, over the API.
    Api,
    /// Somebody, on the command line.
    Cli,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RunStatus {
    /// It is at work, or its process has died.
    Running,
    /// Everything was done.
    Succeeded,
    /// Something was not done, be it only a part.
    Failed,
    /// Nothing was done, because another run of the operation was at work.
    Skipped,
}

/// One run of an operation, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Names the run; runs are listed by it, the newest first.
    pub id: RunId,
    /// What it does.
    pub operation: Operation,
    /// Who asked for it.
    pub trigger: Trigger,
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
    /// How far it is.
    pub status: RunStatus,
    /// Why it failed, where that is not the fault of single policies.
    pub error: Option<String>,
    /// What became of each policy, for a cleanup.
    pub policies: Vec<PolicyOutcome>,
    /// What was measured, for a compliance run.
    pub report: Option<ComplianceReport>,
}

/// What a cleanup did under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyOutcome {
    /// Which records.
    pub records: Records,
    /// How it ended.
    pub status: PolicyStatus,
    /// Records older than this were to be deleted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub cutoff: Timestamp,
    /// How many were deleted, also if it failed.
    pub deleted: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a policy's part of a cleanup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PolicyStatus {
    /// Nothing past retention is left.
    Succeeded,
    /// Something may be left.
    Failed,
    /// A legal hold kept everything.
    Held,
    /// The policy is switched off.
    Disabled,
}

impl RunId {
    /// Wraps a UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

macro_rules! named {
    ($type:ident { $($variant:ident => $name:literal),+ }) => {
        impl $type {
            /// The name in JSON and in a database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What has that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

named!(Operation {
    Cleanup => "cleanup", Compliance => "compliance", Erasure => "erasure"
});
named!(Trigger { Schedule => "schedule", Api => "api", Cli => "cli" });
named!(RunStatus {
    Running => "running", Succeeded => "succeeded", Failed => "failed", Skipped => "skipped"
});
named!(PolicyStatus {
    Succeeded => "succeeded", Failed => "failed", Held => "held", Disabled => "disabled"
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for operation in Operation::ALL {
            assert_eq!(json!(operation), json!(operation.name()));
            assert_eq!(Operation::from_name(operation.name()), Some(operation));
        }
        for trigger in [Trigger::Schedule, Trigger::Api, Trigger::Cli] {
            assert_eq!(json!(trigger), json!(trigger.name()));
            assert_eq!(Trigger::from_name(trigger.name()), Some(trigger));
        }
        use RunStatus::{Failed, Running, Skipped, Succeeded};
        for status in [Running, Succeeded, Failed, Skipped] {
            assert_eq!(json!(status), json!(status.name()));
            assert_eq!(RunStatus::from_name(status.name()), Some(status));
        }
        use PolicyStatus as P;
        for status in [P::Succeeded, P::Failed, P::Held, P::Disabled] {
            assert_eq!(json!(status), json!(status.name()));
            assert_eq!(PolicyStatus::from_name(status.name()), Some(status));
        }
    }
}
