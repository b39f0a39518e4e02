/// A running service's answer to "how are you".
///
/// # Examples
///
/// ```
/// use steadfast_lifecycle::{Health, HealthStatus};
///
/// let health = Health::degraded("replica is 12 s behind");
/// assert_eq!(health.status, HealthStatus::Degraded);
/// assert_eq!(health.detail.as_deref(), Some("replica is 12 s behind"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// What is wrong, for people.
    pub detail: Option<String>,
}

/// The verdict of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// Works as it should.
    Healthy,
    /// Works, but not as well as it should.
    Degraded,
    /// Does not work. The application is not ready while a required service says so.
    Unhealthy,
}

impl Health {
    /// All is well.
    #[must_use]
    pub fn healthy() -> Self {
        Self {
            status: HealthStatus::Healthy,
            detail: None,
        }
    }

    /// Works, but not as well as it should.
    #[must_use]
    pub fn degraded(detail: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Degraded,
            detail: Some(detail.into()),
        }
    }

    /// Does not work.
    #[must_use]
    pub fn unhealthy(detail: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Unhealthy,
            detail: Some(detail.into()),
        }
    }
}
