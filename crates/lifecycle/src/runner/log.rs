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
