use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Records;

/// How far the policies are kept: figures measured from the rows, and what is wrong with them.
///
/// It is evidence for whoever judges, not a judgement about any law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComplianceReport {
    /// When it was measured.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub measured_at: Timestamp,
    /// When the last cleanup began that succeeded.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_cleanup: Option<Timestamp>,
    /// How many requests for erasure should have been carried out by now; `None` if they could not
    /// be counted, or nobody can ask for an erasure.
    #[serde(default)]
    pub overdue_erasures: Option<u64>,
    /// One measurement for each policy.
    pub policies: Vec<PolicyMeasurement>,
    /// What is not as the policies want it; empty if nothing was found.
    pub findings: Vec<Finding>,
}

/// How far one policy is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyMeasurement {
    /// Which records.
    pub records: Records,
    /// For how many days they are kept.
    pub days: u32,
    /// Whether they are deleted at all.
    pub enabled: bool,
    /// Whether a legal hold keeps them.
    pub legal_hold: bool,
    /// How many records are past retention now; `None` if they could not be counted.
    pub past_retention: Option<u64>,
    /// The time of the oldest record, if there is one and it could be found.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub oldest: Option<Timestamp>,
}

/// Something that is not as the policies want it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum Finding {
    /// Records that a cleanup should have deleted by now are there.
    Overdue {
        /// Which records.
        records: Records,
        /// The time of the oldest one.
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        oldest: Timestamp,
    },
    /// A policy is switched off.
    Disabled {
        /// Which records it is about.
        records: Records,
    },
    /// A policy could not be measured.
    NotMeasured {
        /// Which records it is about.
        records: Records,
        /// Why.
        error: String,
    },
    /// Requests for erasure that should have been carried out by now are open.
    OverdueErasures {
        /// How many.
        count: u64,
    },
    /// No cleanup has succeeded lately.
    NoRecentCleanup {
        /// When the last one began that did, if any ever did.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
        last: Option<Timestamp>,
    },
}
