//! The routes of pushes.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::super::reply::{Body, Parameters, Refusal};
use super::{Reply, Shared, follow, part_of_path};
use crate::{
    FilesApi, PUSHES_DEFAULT, PUSHES_MAX, PullRequest, PushCancel, PushDecision, PushDetail,
    PushRequest, PushView, PushesQuery, RollbackRequest, RootView,
};

pub(super) fn routes<A: FilesApi>() -> Router<Shared<A>> {
    Router::new()
        .route("/v1/push", post(push::<A>))
        .route("/v1/pull", post(pull::<A>))
        .route("/v1/pushes", get(pushes::<A>))
        .route("/v1/pushes/decide", post(push_decide::<A>))
        .route("/v1/pushes/cancel", post(push_cancel::<A>))
        .route("/v1/pushes/{id}", get(push_detail::<A>))
        .route("/v1/pushes/{id}/follow", get(push_follow::<A>))
        .route("/v1/rollback", post(rollback::<A>))
        .route("/v1/roots", get(roots::<A>))
}

async fn push<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<PushRequest>,
) -> Reply<PushView> {
    if request.paths.is_empty() {
        return Err(Refusal::bad_request("no path is named; nothing was pushed"));
    }
    if request.all != request.to.is_empty() {
        let message = "either `to` names somebody, or `all` is true; nothing was pushed";
        return Err(Refusal::bad_request(message));
    }
    Ok(Json(shared.api.push(request).await?))
}

async fn pull<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<PullRequest>,
) -> Reply<PushView> {
    Ok(Json(shared.api.pull(request).await?))
}

async fn pushes<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<PushesQuery>,
) -> Reply<Vec<PushView>> {
    let limit = query.limit.unwrap_or(PUSHES_DEFAULT).min(PUSHES_MAX);
    Ok(Json(shared.api.pushes(PushesQuery { limit: Some(limit) }).await?))
}

async fn push_detail<A: FilesApi>(
    State(shared): State<Shared<A>>,
    id: Result<Path<String>, PathRejection>,
) -> Reply<PushDetail> {
    Ok(Json(shared.api.push_detail(part_of_path(id)?).await?))
}

async fn push_follow<A: FilesApi>(
    State(shared): State<Shared<A>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let id = part_of_path(id)?;
    follow(&shared, |api| api.push_follow(id))
}

async fn push_decide<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<PushDecision>,
) -> Reply<PushView> {
    Ok(Json(shared.api.push_decide(request).await?))
}

async fn push_cancel<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<PushCancel>,
) -> Reply<PushView> {
    Ok(Json(shared.api.push_cancel(request).await?))
}

async fn rollback<A: FilesApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<RollbackRequest>,
) -> Reply<PushView> {
    Ok(Json(shared.api.rollback(request).await?))
}

async fn roots<A: FilesApi>(State(shared): State<Shared<A>>) -> Reply<Vec<RootView>> {
    Ok(Json(shared.api.roots().await?))
}
