//! What a named primitive tells the `metrics` facade; nothing at all without that feature.

use std::time::Duration;

/// The counters and histograms of one primitive.
///
/// They are looked up at the first use, so install the recorder before. Never call these under an
/// internal lock: a recorder is user code.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    #[cfg(feature = "metrics")]
    named: Option<Box<named::Named>>,
}

impl Meters {
    /// The meters of a primitive, which stay silent if it has no name.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "there is nothing to name")
    )]
    pub(crate) fn new(kind: &'static str, name: &str) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            named: named::Named::new(kind, name),
        }
    }

    /// Somebody waited so long for what it then got.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, clippy::unused_self, reason = "nobody measures")
    )]
    #[inline]
    pub(crate) fn waited(&self, duration: Duration) {
        #[cfg(feature = "metrics")]
        if let Some(named) = &self.named {
            named.waited(duration);
        }
    }

    /// Something happened that is worth counting, such as `timeout`; never on a fast path.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, clippy::unused_self, reason = "nobody counts")
    )]
    #[inline]
    pub(crate) fn count(&self, event: &'static str) {
        #[cfg(feature = "metrics")]
        if let Some(named) = &self.named {
            named.count(event);
        }
    }
}

#[cfg(feature = "metrics")]
pub(crate) use self::named::publish;

#[cfg(feature = "metrics")]
mod named {
    use std::{sync::OnceLock, time::Duration};

    use metrics::{Histogram, SharedString, counter, gauge, histogram};

    use crate::{Snapshot, registry::Figure};

    /// The labels of a primitive.
    pub(super) struct Named {
        kind: &'static str,
        name: SharedString,
        wait: OnceLock<Histogram>,
    }

    impl Named {
        pub(super) fn new(kind: &'static str, name: &str) -> Option<Box<Self>> {
            (!name.is_empty()).then(|| {
                Box::new(Self {
                    kind,
                    name: SharedString::from_shared(name.into()),
                    wait: OnceLock::new(),
                })
            })
        }

        pub(super) fn waited(&self, duration: Duration) {
            let wait = self.wait.get_or_init(|| {
                histogram!("steadfast_sync_wait_seconds", "kind" => self.kind, "name" => self.name.clone())
            });
            wait.record(duration);
        }

        pub(super) fn count(&self, event: &'static str) {
            counter!(
                "steadfast_sync_events_total",
                "kind" => self.kind, "name" => self.name.clone(), "event" => event
            )
            .increment(1);
        }
    }

    impl std::fmt::Debug for Named {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Named")
                .field("kind", &self.kind)
                .field("name", &self.name)
                .finish_non_exhaustive()
        }
    }

    /// Sets the gauges and totals of one primitive.
    pub(crate) fn publish(snapshot: &Snapshot) {
        let name = SharedString::from_shared(snapshot.name.as_str().into());
        let kind = snapshot.state.kind();
        for figure in snapshot.state.figures() {
            let name = name.clone();
            match figure {
                Figure::Gauge(metric, value) => {
                    gauge!(metric, "kind" => kind, "name" => name).set(value);
                }
                Figure::Total(metric, value) => {
                    counter!(metric, "kind" => kind, "name" => name).absolute(value);
                }
            }
        }
    }
}
