//! The routes of the shared configuration.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::super::reply::{Body, DATA_BODY_BYTES_MAX, Parameters, Refusal};
use super::{Reply, Shared, follow};
use crate::{
    CONFIG_HISTORY_DEFAULT, CONFIG_HISTORY_MAX, ConfigApi, ConfigChanged, ConfigCheckView,
    ConfigHistoryQuery, ConfigHistoryView, ConfigImport, ConfigImported, ConfigQuery, ConfigRevert,
    ConfigSeal, ConfigSet, ConfigStateView, ConfigUnset, ConfigView, ConfigWatchQuery,
};

pub(super) fn routes<A: ConfigApi>() -> Router<Shared<A>> {
    Router::new()
        .route("/v1/config", get(config_get::<A>).post(config_set::<A>))
        .route("/v1/config/seal", post(config_seal::<A>))
        .route("/v1/config/unset", post(config_unset::<A>))
        .route("/v1/config/history", get(config_history::<A>))
        .route("/v1/config/revert", post(config_revert::<A>))
        .route("/v1/config/check", get(config_check::<A>))
        .route("/v1/config/state", get(config_state::<A>))
        .route("/v1/config/template", get(template_export::<A>).post(template_import::<A>))
        .route("/v1/config/watch", get(config_watch::<A>))
}

async fn config_get<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<ConfigQuery>,
) -> Reply<ConfigView> {
    Ok(Json(shared.api.config_get(query).await?))
}

async fn config_set<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConfigSet, DATA_BODY_BYTES_MAX>,
) -> Reply<ConfigChanged> {
    Ok(Json(shared.api.config_set(request).await?))
}

async fn config_seal<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConfigSeal>,
) -> Reply<ConfigChanged> {
    if request.to.is_empty() {
        let message = "nobody is named who could read the value; nothing was changed";
        return Err(Refusal::bad_request(message));
    }
    Ok(Json(shared.api.config_seal(request).await?))
}

async fn config_unset<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConfigUnset>,
) -> Reply<ConfigChanged> {
    Ok(Json(shared.api.config_unset(request).await?))
}

async fn config_history<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<ConfigHistoryQuery>,
) -> Reply<Vec<ConfigHistoryView>> {
    let limit = query.limit.unwrap_or(CONFIG_HISTORY_DEFAULT).min(CONFIG_HISTORY_MAX);
    let query = ConfigHistoryQuery { limit: Some(limit), ..query };
    Ok(Json(shared.api.config_history(query).await?))
}

async fn config_revert<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConfigRevert>,
) -> Reply<ConfigChanged> {
    Ok(Json(shared.api.config_revert(request).await?))
}

async fn config_check<A: ConfigApi>(State(shared): State<Shared<A>>) -> Reply<ConfigCheckView> {
    Ok(Json(shared.api.config_check().await?))
}

async fn config_state<A: ConfigApi>(State(shared): State<Shared<A>>) -> Reply<ConfigStateView> {
    Ok(Json(shared.api.config_state().await?))
}

async fn template_export<A: ConfigApi>(State(shared): State<Shared<A>>) -> Reply<Value> {
    Ok(Json(shared.api.config_template_export().await?))
}

async fn template_import<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConfigImport, DATA_BODY_BYTES_MAX>,
) -> Reply<ConfigImported> {
    Ok(Json(shared.api.config_template_import(request).await?))
}

async fn config_watch<A: ConfigApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<ConfigWatchQuery>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.config_watch(query))
}
