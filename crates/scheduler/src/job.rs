use std::{fmt, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use crate::{Dst, Execution, InvalidJob, LockName, Misfire, Overlap, Policy, Spec};

/// The longest timeout and window, and the widest jitter.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The identity of a job within its namespace, such as `user:42`.
///
/// Cheap to clone. 1 to [`JobKey::MAX_LENGTH`] bytes; `upsert` refuses others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey(Arc<str>);

impl JobKey {
    /// The greatest length in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for JobKey {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

impl From<String> for JobKey {
    fn from(key: String) -> Self {
        Self(key.into())
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of a scheduler: a key, when it fires, and how its occurrences are treated.
///
/// # Examples
///
/// ```
/// use jiff::tz::TimeZone;
/// use steadfast_scheduler::{Dialect, Job, Overlap, Spec};
///
/// let spec = Spec::parse("0 9 * * MON-FRI", Dialect::Posix5)?;
/// let job = Job::new("user:42", spec, TimeZone::get("Europe/Berlin")?).overlap(Overlap::QueueOne);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its identity.
    pub key: JobKey,
    /// When it fires.
    pub spec: Spec,
    /// The zone of the wall times in `spec`; it must have an IANA name.
    pub tz: TimeZone,
    /// How its occurrences are treated.
    pub policy: Policy,
}

impl Job {
    /// How often an occurrence is claimed at most, if the process dies at it every time.
    pub const MAX_ATTEMPTS: u32 = 5;

    /// A job with the default policy.
    #[must_use]
    pub fn new(key: impl Into<JobKey>, spec: Spec, tz: TimeZone) -> Self {
        Self {
            key: key.into(),
            spec,
            tz,
            policy: Policy::default(),
        }
    }

    /// Sets what happens to missed occurrences.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.policy.misfire = misfire;
        self
    }

    /// Sets what happens to occurrences that fall due during a run.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.policy.overlap = overlap;
        self
    }

    /// Sets what becomes of runs whose process died.
    #[must_use]
    pub fn execution(mut self, execution: Execution) -> Self {
        self.policy.execution = execution;
        self
    }

    /// Sets how long a run may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// Sets over how much time starts are spread, by key.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.policy.jitter = jitter;
        self
    }

    /// Sets an exclusion shared with other jobs.
    #[must_use]
    pub fn lock(mut self, lock: impl Into<LockName>) -> Self {
        self.policy.lock = Some(lock.into());
        self
    }

    /// Sets what happens where the zone's offset changes.
    #[must_use]
    pub fn dst(mut self, dst: Dst) -> Self {
        self.policy.dst = dst;
        self
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    ///
    /// If one is out of bounds; the error names it.
    pub fn validate(&self) -> Result<(), InvalidJob> {
        let policy = &self.policy;
        let require = |fits: bool, field, reason| match fits {
            true => Ok(()),
            false => Err(InvalidJob { field, reason }),
        };
        let name_fits = |name: &str| (1..=JobKey::MAX_LENGTH).contains(&name.len());
        require(
            name_fits(self.key.as_str()),
            "key",
            "1 to 255 bytes are allowed",
        )?;
        let has_name = self.tz.iana_name().is_some();
        require(has_name, "tz", "a zone with an IANA name is needed")?;
        let lock_fits = policy
            .lock
            .as_ref()
            .is_none_or(|lock| name_fits(lock.as_str()));
        require(lock_fits, "lock", "1 to 255 bytes are allowed")?;
        let (all_fits, window) = match policy.misfire {
            Misfire::All { max, window } => ((1..=Misfire::MAX_ALL).contains(&max), window),
            Misfire::Skip | Misfire::OnceLatest => (true, Duration::ZERO),
        };
        require(all_fits, "misfire", "a max of 1 to 1000 is allowed")?;
        let allow_fits = policy.overlap != Overlap::Allow(0);
        require(allow_fits, "overlap", "at least 1 run must be allowed")?;
        let shortest = Duration::from_millis(1);
        let timeout = policy.timeout.unwrap_or(shortest);
        // Stores keep milliseconds: what they give back must equal what they were given.
        let durations = [
            ("misfire", window, Duration::ZERO),
            ("timeout", timeout, shortest),
            ("jitter", policy.jitter, Duration::ZERO),
        ];
        for (field, duration, least) in durations {
            let whole = duration.subsec_nanos().is_multiple_of(1_000_000);
            let fits = whole && (least..=LONGEST).contains(&duration);
            require(fits, field, "whole milliseconds up to 366 days are allowed")?;
        }
        Ok(())
    }

    /// Whether both fire at the same instants.
    #[must_use]
    pub fn has_same_instants(&self, other: &Self) -> bool {
        self.spec == other.spec
            && self.tz == other.tz
            && self.policy.jitter == other.policy.jitter
            && self.policy.dst == other.policy.dst
    }

    /// Whether an occurrence may be claimed again whose last claim, the `attempts`-th, was given
    /// back or has let its lease end.
    #[must_use]
    pub fn claims_again(&self, released: bool, attempts: u32) -> bool {
        let at_least_once = self.policy.execution == Execution::AtLeastOnce;
        released || (at_least_once && attempts < Self::MAX_ATTEMPTS)
    }
}
