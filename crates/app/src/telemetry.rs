//! Logs and metrics.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Sends log lines to standard error, filtered; a filter that is not one was refused before.
pub fn log_to_stderr(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_default();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// The upper bounds of the buckets that times are counted in.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];

/// Collects what the `metrics` macros say, for the admin listener to show.
///
/// # Errors
///
/// If something else collects them already.
pub fn collect_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()?;
    metrics::describe_counter!("steadfast_http_requests_total", "Requests answered");
    metrics::describe_gauge!("steadfast_hub_connections", "Connected clients");
    metrics::describe_gauge!(
        "steadfast_hub_subscriptions",
        "Subscriptions of connected clients"
    );
    metrics::describe_counter!(
        "steadfast_hub_delivered_total",
        "Messages queued for clients"
    );
    metrics::describe_counter!(
        "steadfast_hub_evicted_slow_total",
        "Clients that read too slowly"
    );
    metrics::describe_counter!(
        "steadfast_hub_evicted_silent_total",
        "Clients that were gone"
    );
    metrics::describe_counter!("steadfast_fires_total", "Runs of jobs, by their outcome");
    metrics::describe_histogram!(
        "steadfast_fire_lateness_seconds",
        "How long after their time jobs began to run"
    );
    metrics::describe_counter!("steadfast_alerts_total", "Alerts that came up");
    metrics::describe_gauge!("steadfast_alert_active", "Whether an alert is active");
    metrics::describe_gauge!(
        "steadfast_database_connections",
        "Connections of each pool of the database that are open"
    );
    metrics::describe_gauge!("steadfast_service_up", "Whether a service is up");
    Ok(handle)
}
