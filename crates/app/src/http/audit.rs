use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api,
    caller::Caller,
    extract::Query,
    page::{PageView, page_limit},
    problem::{Kind, Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::{
    accounts::{Role, Scope, User},
    audit::{AuditAction, AuditEntry, AuditQuery},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EntriesQuery {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// Only those of one user.
    user_id: Option<Uuid>,
    /// Only those of one action.
    action: Option<AuditAction>,
}

/// Who did what, newest first; for auditors and administrators.
#[utoipa::path(
    get, path = "/admin/audit", operation_id = "listAuditEntries", tag = "admin", params(EntriesQuery),
    responses(
        (status = 200, body = PageView<AuditEntry>),
        (status = 403, description = "the role or the scope does not allow it", body = ProblemBody),
    )
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<EntriesQuery>,
) -> Result<axum::Json<PageView<AuditEntry>>, Problem> {
    caller.require(Scope::AdminRead)?;
    if !matches!(caller.0.user.role, Role::Admin | Role::Auditor) {
        let detail = "only auditors and administrators see this";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let limit = page_limit(query.limit)?;
    let query = AuditQuery {
        user_id: query.user_id,
        action: query.action,
        before: query.cursor,
        limit: limit + 1,
    };
    let entries = api.audit.list(&query).await.map_err(|error| {
        if error.is_transient() {
            Problem::unavailable(&error)
        } else {
            Problem::internal(&error)
        }
    })?;
    Ok(axum::Json(PageView::cut(entries, limit, |entry| {
        entry.id.to_string()
    })))
}

impl Api {
    /// Notes what was done by a user, who is known by now.
    pub(super) async fn note(
        &self,
        info: RequestInfo,
        user: &User,
        action: AuditAction,
        target: Option<String>,
    ) {
        let entry = AuditEntry {
            user_id: Some(user.id),
            target,
            ..AuditEntry::new(action, self.audit_time())
        };
        self.note_entry(info.entry(entry)).await;
    }

    /// Notes something. It has happened: where it cannot be noted, the log says so, and the
    /// request goes on.
    pub(super) async fn note_entry(&self, entry: AuditEntry) {
        if let Err(error) = self.audit.record(&entry).await {
            metrics::counter!("steadfast_audit_failures_total").increment(1);
            let action = entry.action.name();
            tracing::error!(action, ?entry, %error, "an audit entry could not be stored");
        }
    }

    /// The time of day, as precise as it is stored.
    pub(super) fn audit_time(&self) -> Timestamp {
        let now = Timestamp::try_from(self.clock.wall()).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}
