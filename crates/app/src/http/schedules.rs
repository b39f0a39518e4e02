use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use steadfast_notifications::{
    NewSchedule, Page, PageRequest, Preview, PreviewRequest, Schedule, ScheduleId, SchedulePatch,
    ScheduleView,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    etag::{etag, expected_version},
    extract::{Json, Path, Query},
    problem::{Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::{accounts::Scope, audit::AuditAction};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(preview))
        .routes(routes!(get, update, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(run))
}

/// The caller's schedules, oldest first.
#[utoipa::path(
    get, path = "/schedules", operation_id = "listSchedules", tag = "schedules", params(PageRequest),
    responses((status = 200, body = Page<ScheduleView>), (status = 422, body = ProblemBody))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<PageRequest>,
) -> Result<axum::Json<Page<ScheduleView>>, Problem> {
    caller.require(Scope::SchedulesRead)?;
    let page = api.schedules.list(caller.user_id(), &page).await;
    let page = page.map_err(|error| Problem::from(error).in_query())?;
    let items = page
        .items
        .into_iter()
        .map(|schedule| api.schedules.view(schedule))
        .collect();
    Ok(axum::Json(Page {
        items,
        next: page.next,
    }))
}

/// Creates a schedule of the caller.
#[utoipa::path(
    post, path = "/schedules", operation_id = "createSchedule", tag = "schedules", request_body = NewSchedule,
    responses(
        (status = 201, body = ScheduleView),
        (status = 409, description = "as many as allowed", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(new): Json<NewSchedule>,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let schedule = api.schedules.create(caller.user_id(), new).await?;
    let location = format!("/api/v1/schedules/{}", schedule.id);
    let mut response = view(&api, StatusCode::CREATED, schedule);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Says what an expression means and when it would fire; stores nothing.
#[utoipa::path(
    post, path = "/schedules/preview", operation_id = "previewSchedule", tag = "schedules", request_body = PreviewRequest,
    responses((status = 200, body = Preview), (status = 422, body = ProblemBody))
)]
async fn preview(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<PreviewRequest>,
) -> Result<axum::Json<Preview>, Problem> {
    caller.require(Scope::SchedulesRead)?;
    Ok(axum::Json(api.schedules.preview(&request)?))
}

/// One schedule of the caller; its version is the `ETag`.
#[utoipa::path(
    get, path = "/schedules/{id}", operation_id = "getSchedule", tag = "schedules", params(("id" = ScheduleId, Path)),
    responses((status = 200, body = ScheduleView), (status = 404, body = ProblemBody))
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ScheduleId>,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesRead)?;
    let schedule = api.schedules.get(caller.user_id(), id).await?;
    Ok(view(&api, StatusCode::OK, schedule))
}

/// Changes the fields that the body names; `If-Match: "<version>"` refuses if it was changed since.
#[utoipa::path(
    patch, path = "/schedules/{id}", operation_id = "updateSchedule", tag = "schedules", request_body = SchedulePatch,
    params(("id" = ScheduleId, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = ScheduleView),
        (status = 404, body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ScheduleId>,
    headers: HeaderMap,
    Json(patch): Json<SchedulePatch>,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let expected = expected_version(&headers)?;
    let schedule = api
        .schedules
        .update(caller.user_id(), id, &patch, expected)
        .await?;
    Ok(view(&api, StatusCode::OK, schedule))
}

/// Deletes a schedule; `If-Match: "<version>"` refuses if it was changed since.
#[utoipa::path(
    delete, path = "/schedules/{id}", operation_id = "deleteSchedule", tag = "schedules",
    params(("id" = ScheduleId, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
    )
)]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ScheduleId>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    api.schedules
        .delete(caller.user_id(), id, expected_version(&headers)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops a schedule from firing until it is resumed.
#[utoipa::path(
    post, path = "/schedules/{id}/pause", operation_id = "pauseSchedule", tag = "schedules", params(("id" = ScheduleId, Path)),
    responses((status = 200, body = ScheduleView), (status = 404, body = ProblemBody))
)]
async fn pause(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Path(id): Path<ScheduleId>,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let schedule = api.schedules.pause(caller.user_id(), id).await?;
    let target = Some(id.to_string());
    api.note(info, &caller.0.user, AuditAction::PauseSchedule, target)
        .await;
    Ok(view(&api, StatusCode::OK, schedule))
}

/// Lets a paused schedule fire again, from now on.
#[utoipa::path(
    post, path = "/schedules/{id}/resume", operation_id = "resumeSchedule", tag = "schedules", params(("id" = ScheduleId, Path)),
    responses((status = 200, body = ScheduleView), (status = 404, body = ProblemBody))
)]
async fn resume(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Path(id): Path<ScheduleId>,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let schedule = api.schedules.resume(caller.user_id(), id).await?;
    let target = Some(id.to_string());
    api.note(info, &caller.0.user, AuditAction::ResumeSchedule, target)
        .await;
    Ok(view(&api, StatusCode::OK, schedule))
}

/// Fires a schedule now, beside its plan.
#[utoipa::path(
    post, path = "/schedules/{id}/run", operation_id = "runSchedule", tag = "schedules", params(("id" = ScheduleId, Path)),
    responses(
        (status = 202, description = "the notification follows"),
        (status = 404, body = ProblemBody),
        (status = 409, description = "it is paused", body = ProblemBody),
    )
)]
async fn run(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Path(id): Path<ScheduleId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    api.schedules.run_now(caller.user_id(), id).await?;
    let target = Some(id.to_string());
    api.note(info, &caller.0.user, AuditAction::RunSchedule, target)
        .await;
    Ok(StatusCode::ACCEPTED)
}

fn view(api: &Api, status: StatusCode, schedule: Schedule) -> Response {
    (
        status,
        [etag(schedule.version)],
        axum::Json(api.schedules.view(schedule)),
    )
        .into_response()
}
