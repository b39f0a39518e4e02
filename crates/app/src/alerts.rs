//! What somebody should know of: told as it begins and as it ends, and kept for who asks later.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use steadfast_clock::Clock;
use utoipa::ToSchema;

/// How many alerts that are over are kept.
pub const RECENT: usize = 100;

/// How many alerts are active at once at most; more are not told.
pub const ACTIVE: usize = 200;

/// Something that is not as it should be, as it was just seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of thing; a label of metrics.
    pub alert: &'static str,
    /// Of what: a service or a primitive, by its name; a label of metrics.
    pub subject: String,
    /// What it is this time, for people.
    pub message: String,
    /// Whether the service does not work while it lasts.
    pub severe: bool,
}

/// An alert, active or over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Alert {
    /// Which kind of thing.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// Of what.
    pub subject: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When it was over; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// How often it has come up since the process started, as far as it is still listed.
    pub count: u64,
    /// What it was when it was last looked at.
    pub message: String,
}

/// The alerts of the process. Clones share them.
///
/// Each is told as a `tracing` event with the target `steadfast::alert`, counted by
/// `steadfast_alerts_total` and shown by `steadfast_alert_active`.
#[derive(Clone, Debug)]
pub struct Alerts {
    clock: Arc<dyn Clock>,
    listed: Arc<Mutex<Listed>>,
}

#[derive(Debug, Default)]
struct Listed {
    active: Vec<Alert>,
    /// The latest last.
    recent: VecDeque<Alert>,
}

impl Alerts {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            listed: Arc::default(),
        }
    }

    /// Takes over all that is wrong at this moment: what is new becomes active, what is no longer
    /// there is over.
    pub fn observe(&self, findings: Vec<Finding>) {
        let now = Timestamp::try_from(self.clock.wall()).unwrap_or_default();
        let (mut raised, mut cleared) = (Vec::new(), Vec::new());
        {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.active.retain_mut(|alert| {
                let stays = findings.iter().any(|finding| finding.is(alert));
                if !stays {
                    alert.until = Some(now);
                    cleared.push(alert.clone());
                }
                stays
            });
            for alert in &cleared {
                listed.recent.push_back(alert.clone());
            }
            let excess = listed.recent.len().saturating_sub(RECENT);
            listed.recent.drain(..excess);
            for finding in findings {
                if listed.update(&finding, now) {
                    raised.push(finding);
                }
            }
        }
        // What listens may be anybody's code: not under the lock.
        raised.iter().for_each(Finding::tell);
        cleared.iter().for_each(Alert::tell_end);
    }

    /// Those that are active, the longest first.
    #[must_use]
    pub fn active(&self) -> Vec<Alert> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.active.clone()
    }

    /// Those that are over, the latest first, at most [`RECENT`].
    #[must_use]
    pub fn recent(&self) -> Vec<Alert> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.recent.iter().rev().cloned().collect()
    }
}

impl Listed {
    /// Whether it is new.
    fn update(&mut self, finding: &Finding, now: Timestamp) -> bool {
        if let Some(alert) = self.active.iter_mut().find(|alert| finding.is(alert)) {
            alert.message.clone_from(&finding.message);
            return false;
        }
        if self.active.len() >= ACTIVE {
            return false;
        }
        let earlier = self.recent.iter().rev().find(|alert| finding.is(alert));
        self.active.push(Alert {
            name: finding.alert,
            subject: finding.subject.clone(),
            since: now,
            until: None,
            count: 1 + earlier.map_or(0, |alert| alert.count),
            message: finding.message.clone(),
        });
        true
    }
}

impl Finding {
    fn is(&self, alert: &Alert) -> bool {
        self.alert == alert.name && self.subject == alert.subject
    }

    fn tell(&self) {
        let Self {
            alert,
            subject,
            message,
            severe,
        } = self;
        if *severe {
            tracing::error!(target: "steadfast::alert", alert, subject, message, "alert");
        } else {
            tracing::warn!(target: "steadfast::alert", alert, subject, message, "alert");
        }
        let labels = [("alert", (*alert).to_owned()), ("subject", subject.clone())];
        metrics::counter!("steadfast_alerts_total", &labels).increment(1);
        metrics::gauge!("steadfast_alert_active", &labels).set(1.0);
    }
}

impl Alert {
    fn tell_end(&self) {
        let (alert, subject) = (self.name, &self.subject);
        tracing::info!(target: "steadfast::alert", alert, subject, "alert is over");
        let labels = [("alert", alert.to_owned()), ("subject", subject.clone())];
        metrics::gauge!("steadfast_alert_active", &labels).set(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use steadfast_clock::ManualClock;

    use super::*;

    fn finding(subject: &str, message: &str) -> Finding {
        Finding {
            alert: "service_down",
            subject: subject.to_owned(),
            message: message.to_owned(),
            severe: false,
        }
    }

    #[test]
    fn alert_lasts_while_it_is_found_and_counts_its_returns() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let alerts = Alerts::new(clock.clone());
        alerts.observe(vec![finding("hub", "a")]);
        clock.advance(Duration::from_secs(5));
        alerts.observe(vec![finding("hub", "b"), finding("outbox", "c")]);
        let active = alerts.active();
        assert_eq!((active.len(), active[0].count), (2, 1));
        assert_eq!(
            (active[0].since, &*active[0].message),
            (Timestamp::UNIX_EPOCH, "b")
        );
        alerts.observe(vec![finding("outbox", "c")]);
        assert_eq!(alerts.active().len(), 1);
        assert_eq!(alerts.recent()[0].until.unwrap().as_second(), 5);
        alerts.observe(vec![finding("hub", "again")]);
        assert_eq!(alerts.active()[0].count, 2);
    }

    #[test]
    fn lists_are_bounded() {
        let alerts = Alerts::new(Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH)));
        let many = (0..2 * ACTIVE)
            .map(|n| finding(&n.to_string(), ""))
            .collect();
        alerts.observe(many);
        assert_eq!(alerts.active().len(), ACTIVE);
        alerts.observe(Vec::new());
        assert_eq!((alerts.active().len(), alerts.recent().len()), (0, RECENT));
    }
}
