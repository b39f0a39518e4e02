//! How policies, causes and outcomes are stored: as readable text.

use std::{num::ParseIntError, time::Duration};

use crate::{Cause, Dst, Execution, Fold, Gap, LockName, Misfire, Outcome, Overlap, Policy};

/// A stored text that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{column} holds {text:?}")]
pub(super) struct Unreadable {
    pub(super) column: &'static str,
    pub(super) text: String,
}

/// Writes a policy, such as `misfire=once overlap=allow:3 …`; the lock comes last, since a name
/// may hold anything.
pub(super) fn policy_to_text(policy: &Policy) -> String {
    let misfire = match policy.misfire {
        Misfire::Skip => "skip".into(),
        Misfire::OnceLatest => "once".into(),
        Misfire::All { max, window } => format!("all:{max}:{}", window.as_millis()),
    };
    let overlap = match policy.overlap {
        Overlap::Skip => "skip".into(),
        Overlap::QueueOne => "queue".into(),
        Overlap::Allow(most) => format!("allow:{most}"),
        Overlap::Replace => "replace".into(),
    };
    let execution = match policy.execution {
        Execution::AtLeastOnce => "at_least_once",
        Execution::AtMostOnce => "at_most_once",
    };
    let timeout = policy
        .timeout
        .map(|timeout| timeout.as_millis().to_string());
    let gap = match policy.dst.gap {
        Gap::RunAtTransition => "run",
        Gap::Skip => "skip",
        Gap::ShiftByGap => "shift",
    };
    let fold = match policy.dst.fold {
        Fold::First => "first",
        Fold::Last => "last",
        Fold::Both => "both",
    };
    let lock = policy
        .lock
        .as_ref()
        .map(|lock| format!(" lock={}", lock.as_str()));
    format!(
        "misfire={misfire} overlap={overlap} execution={execution} timeout={} jitter={} gap={gap} \
         fold={fold}{}",
        timeout.as_deref().unwrap_or("none"),
        policy.jitter.as_millis(),
        lock.unwrap_or_default(),
    )
}

pub(super) fn policy_from_text(text: &str) -> Result<Policy, Unreadable> {
    let unreadable = || Unreadable {
        column: "policy",
        text: text.into(),
    };
    let mut policy = Policy::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').ok_or_else(unreadable)?;
        let (value, more) = match name {
            "lock" => (value, ""),
            _ => value.split_once(' ').unwrap_or((value, "")),
        };
        set(&mut policy, name, value).ok_or_else(unreadable)?;
        rest = more;
    }
    Ok(policy)
}

fn set(policy: &mut Policy, name: &str, value: &str) -> Option<()> {
    let parts: Vec<&str> = value.split(':').collect();
    match name {
        "misfire" => {
            policy.misfire = match parts[..] {
                ["skip"] => Misfire::Skip,
                ["once"] => Misfire::OnceLatest,
                ["all", max, window] => Misfire::All {
                    max: max.parse().ok()?,
                    window: millis(window).ok()?,
                },
                _ => return None,
            }
        }
        "overlap" => {
            policy.overlap = match parts[..] {
                ["skip"] => Overlap::Skip,
                ["queue"] => Overlap::QueueOne,
                ["allow", most] => Overlap::Allow(most.parse().ok()?),
                ["replace"] => Overlap::Replace,
                _ => return None,
            }
        }
        "execution" => {
            policy.execution = match value {
                "at_least_once" => Execution::AtLeastOnce,
                "at_most_once" => Execution::AtMostOnce,
                _ => return None,
            }
        }
        "timeout" if value == "none" => policy.timeout = None,
        "timeout" => policy.timeout = Some(millis(value).ok()?),
        "jitter" => policy.jitter = millis(value).ok()?,
        "gap" => {
            policy.dst = Dst {
                gap: gap(value)?,
                ..policy.dst
            }
        }
        "fold" => {
            policy.dst = Dst {
                fold: fold(value)?,
                ..policy.dst
            }
        }
        "lock" => policy.lock = Some(LockName::from(value)),
        _ => return None,
    }
    Some(())
}

fn gap(value: &str) -> Option<Gap> {
    Some(match value {
        "run" => Gap::RunAtTransition,
        "skip" => Gap::Skip,
        "shift" => Gap::ShiftByGap,
        _ => return None,
    })
}

fn fold(value: &str) -> Option<Fold> {
    Some(match value {
        "first" => Fold::First,
        "last" => Fold::Last,
        "both" => Fold::Both,
        _ => return None,
    })
}

fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

pub(super) fn cause_to_text(cause: Cause) -> &'static str {
    match cause {
        Cause::Scheduled => "scheduled",
        Cause::Misfire => "misfire",
        Cause::Manual => "manual",
    }
}

pub(super) fn cause_from_text(text: &str) -> Result<Cause, Unreadable> {
    match text {
        "scheduled" => Ok(Cause::Scheduled),
        "misfire" => Ok(Cause::Misfire),
        "manual" => Ok(Cause::Manual),
        _ => Err(Unreadable {
            column: "cause",
            text: text.into(),
        }),
    }
}

pub(super) fn outcome_to_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".into(),
        Outcome::Failed { message } => format!("failed: {message}"),
        Outcome::Panicked { message } => format!("panicked: {message}"),
        Outcome::TimedOut => "timed out".into(),
        Outcome::Aborted => "aborted".into(),
        Outcome::Abandoned => "abandoned".into(),
        Outcome::Superseded => "superseded".into(),
    }
}

pub(super) fn outcome_from_text(text: &str) -> Result<Outcome, Unreadable> {
    let (kind, message) = text.split_once(": ").unwrap_or((text, ""));
    let message = message.to_owned();
    match kind {
        "succeeded" => Ok(Outcome::Succeeded),
        "failed" => Ok(Outcome::Failed { message }),
        "panicked" => Ok(Outcome::Panicked { message }),
        "timed out" => Ok(Outcome::TimedOut),
        "aborted" => Ok(Outcome::Aborted),
        "abandoned" => Ok(Outcome::Abandoned),
        "superseded" => Ok(Outcome::Superseded),
        _ => Err(Unreadable {
            column: "outcome",
            text: text.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_round_trip() {
        let policies = [
            Policy::default(),
            Policy {
                misfire: Misfire::All {
                    max: 7,
                    window: Duration::from_secs(90),
                },
                overlap: Overlap::Allow(3),
                execution: Execution::AtMostOnce,
                timeout: Some(Duration::from_millis(1_500)),
                jitter: Duration::from_secs(5),
                lock: Some("clean up = all".into()),
                dst: Dst {
                    gap: Gap::ShiftByGap,
                    fold: Fold::Both,
                },
            },
        ];
        for policy in policies {
            assert_eq!(policy_from_text(&policy_to_text(&policy)).unwrap(), policy);
        }
        for text in ["nonsense", "misfire=never", "overlap=allow", "jitter=-1"] {
            assert!(policy_from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn outcomes_and_causes_round_trip() {
        let message = || "a: b".to_owned();
        for outcome in [
            Outcome::Succeeded,
            Outcome::Failed { message: message() },
            Outcome::Panicked { message: message() },
            Outcome::TimedOut,
            Outcome::Aborted,
            Outcome::Abandoned,
            Outcome::Superseded,
        ] {
            assert_eq!(
                outcome_from_text(&outcome_to_text(&outcome)).unwrap(),
                outcome
            );
        }
        for cause in [Cause::Scheduled, Cause::Misfire, Cause::Manual] {
            assert_eq!(cause_from_text(cause_to_text(cause)).unwrap(), cause);
        }
        assert!(outcome_from_text("?").is_err() && cause_from_text("?").is_err());
    }
}
