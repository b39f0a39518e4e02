use std::time::Duration;

use crate::{Fault, StartOutcome, graph::Node};

pub(super) fn start(node: &Node, outcome: &StartOutcome, elapsed: Duration) {
    let service = &*node.spec.name;
    match outcome {
        StartOutcome::Started => tracing::info!(service, ?elapsed, "service started"),
        StartOutcome::Failed(fault) => {
            tracing::warn!(service, ?elapsed, %fault, "optional service failed to start");
        }
        StartOutcome::Skipped { dependency } => {
            tracing::warn!(service, %dependency, "service skipped");
        }
    }
}

pub(super) fn stop(node: &Node, fault: Option<&Fault>, elapsed: Duration) {
    let service = &*node.spec.name;
    match fault {
        None => tracing::info!(service, ?elapsed, "service stopped"),
        Some(fault) => tracing::error!(service, ?elapsed, %fault, "service failed to stop"),
    }
}

pub(super) fn restart(node: &Node, elapsed: Duration) {
    tracing::info!(
        service = &*node.spec.name,
        ?elapsed,
        "service started again"
    );
}

pub(super) fn failure(node: &Node, fault: &Fault, restart_in: Option<Duration>) {
    let (service, required) = (&*node.spec.name, node.spec.required);
    match restart_in {
        Some(delay) => {
            tracing::warn!(service, required, ?delay, %fault, "service failed, restarting")
        }
        None => tracing::error!(service, required, %fault, "service failed"),
    }
}
