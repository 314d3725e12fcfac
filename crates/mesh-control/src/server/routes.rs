//! The routes. Each hands its request to the [`ControlApi`] and its answer back; none decides anything.

mod config;
mod data;
mod files;
mod git;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use mesh_protocol::ErrorCode;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reply::{Body, Parameters, Refusal};
use crate::{
    ApiError, CheckView, ControlApi, ErrorDocument, EventView, InboxAck, InboxAckReply, InboxQuery,
    InboxView, JoinRequestBody, OutboxView, PeerView, PingReply, PingRequest, RemoveRequest,
    RenameReply, RenameRequest, STREAM_ITEM_BYTES_MAX, SendReply, SendRequest, StatusView,
    SyncRequest, TokenCreate, TokenCreated, TokenView,
};

/// How often a comment is sent while nothing happens, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Most messages in one acknowledgement.
const ACK_IDS_MAX: usize = 10_000;

/// Events that are shown when nobody says how many.
const EVENTS_DEFAULT: usize = 100;

/// Most events that can be asked for.
const EVENTS_MAX: usize = 10_000;

type Reply<T> = Result<Json<T>, Refusal>;

#[derive(Clone, Debug)]
struct Shared<A> {
    api: A,
    followers: Arc<Semaphore>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl<A> Shared<A> {
    /// A place among those who follow something, until it is dropped.
    fn admit_follower(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            Refusal::new(
                ErrorCode::RateLimited,
                "too many clients follow this agent already",
                "end some of the commands that run with --follow",
            )
        })
    }
}

/// Every route of the API.
pub(super) fn router<A: ControlApi>(
    api: A,
    followers_max: usize,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) -> Router {
    let followers = Arc::new(Semaphore::new(followers_max));
    Router::new()
        .route("/v1/status", get(status::<A>))
        .route("/v1/doctor", get(doctor::<A>))
        .route("/v1/sync", post(sync::<A>))
        .route("/v1/tokens", post(token_create::<A>).get(token_list::<A>))
        .route("/v1/tokens/{id}", delete(token_revoke::<A>))
        .route("/v1/join", post(join::<A>))
        .route("/v1/peers", get(peers::<A>))
        .route("/v1/peers/remove", post(peer_remove::<A>))
        .route("/v1/hostname", post(rename::<A>))
        .route("/v1/ping", post(ping::<A>))
        .route("/v1/messages", post(send::<A>))
        .route("/v1/inbox", get(inbox::<A>))
        .route("/v1/inbox/follow", get(inbox_follow::<A>))
        .route("/v1/inbox/ack", post(inbox_ack::<A>))
        .route("/v1/outbox", get(outbox::<A>))
        .route("/v1/events", get(events::<A>))
        .route("/v1/events/follow", get(events_follow::<A>))
        .merge(data::routes())
        .merge(config::routes())
        .merge(files::routes())
        .merge(git::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .with_state(Shared { api, followers, tracker, shutdown })
}

async fn unknown_route(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is no route {}", uri.path()))
}

async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    Refusal::bad_request(format!("the route {} does not answer to {method}", uri.path()))
}

async fn status<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<StatusView> {
    Ok(Json(shared.api.status().await?))
}

async fn doctor<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<Vec<CheckView>> {
    Ok(Json(shared.api.doctor().await?))
}

async fn sync<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<SyncRequest>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.sync(request).map(Ok))
}

async fn token_create<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<TokenCreate>,
) -> Reply<TokenCreated> {
    Ok(Json(shared.api.token_create(request).await?))
}

async fn token_list<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<Vec<TokenView>> {
    Ok(Json(shared.api.token_list().await?))
}

async fn token_revoke<A: ControlApi>(
    State(shared): State<Shared<A>>,
    token_id: Result<Path<String>, PathRejection>,
) -> Reply<TokenView> {
    Ok(Json(shared.api.token_revoke(part_of_path(token_id)?).await?))
}

fn part_of_path(part: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    part.map(|Path(part)| part).map_err(|rejection| Refusal::bad_request(rejection.body_text()))
}

async fn join<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<JoinRequestBody>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.join(request).map(Ok))
}

async fn peers<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<Vec<PeerView>> {
    Ok(Json(shared.api.peers().await?))
}

async fn peer_remove<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<RemoveRequest>,
) -> Reply<PeerView> {
    Ok(Json(shared.api.peer_remove(request).await?))
}

async fn rename<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<RenameRequest>,
) -> Reply<RenameReply> {
    Ok(Json(shared.api.rename(request).await?))
}

async fn ping<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<PingRequest>,
) -> Reply<PingReply> {
    Ok(Json(shared.api.ping(request).await?))
}

async fn send<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<SendRequest>,
) -> Reply<SendReply> {
    Ok(Json(shared.api.send(request).await?))
}

async fn inbox<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<InboxQuery>,
) -> Reply<Vec<InboxView>> {
    Ok(Json(shared.api.inbox(query).await?))
}

async fn inbox_follow<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<InboxQuery>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.inbox_follow(query))
}

async fn inbox_ack<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<InboxAck>,
) -> Reply<InboxAckReply> {
    if request.message_ids.len() > ACK_IDS_MAX {
        let message = format!("more than {ACK_IDS_MAX} message ids; none was acknowledged");
        return Err(Refusal::bad_request(message));
    }
    Ok(Json(shared.api.inbox_ack(request).await?))
}

async fn outbox<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<Vec<OutboxView>> {
    Ok(Json(shared.api.outbox().await?))
}

/// How many of the latest events.
#[derive(Debug, Deserialize)]
struct EventsQuery {
    limit: Option<usize>,
}

impl EventsQuery {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX)
    }
}

async fn events<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<EventsQuery>,
) -> Reply<Vec<EventView>> {
    Ok(Json(shared.api.events(query.limit()).await?))
}

async fn events_follow<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<EventsQuery>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.events_follow(query.limit()).map(Ok))
}

/// Sends each item of what `begin` begins as a server-sent event, an error as an event named `error`, and
/// ends with the stream or with the agent. Nothing is begun for a client that is refused.
fn follow<A, T, S>(shared: &Shared<A>, begin: impl FnOnce(&A) -> S) -> Result<Response, Refusal>
where
    T: Serialize + 'static,
    S: Stream<Item = Result<T, ApiError>> + Send + 'static,
{
    let permit = shared.admit_follower()?;
    let events =
        begin(&shared.api).take_until(shared.shutdown.clone().cancelled_owned()).map(move |item| {
            // Held by the stream, so that the place is free again when it ends.
            let _held = &permit;
            Ok::<_, Infallible>(event_of(item))
        });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn event_of<T: Serialize>(item: Result<T, ApiError>) -> Event {
    let encoded = item.and_then(|item| {
        let text = serde_json::to_string(&item).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("an item has no JSON form: {error}"), "")
        })?;
        if text.len() > STREAM_ITEM_BYTES_MAX {
            let message = format!("an item of the answer exceeds {STREAM_ITEM_BYTES_MAX} bytes");
            return Err(ApiError::new(ErrorCode::MessageTooLarge, message, "ask for a part of it"));
        }
        Ok(Event::default().data(text))
    });
    encoded.unwrap_or_else(|error| {
        let named = || Event::default().event("error");
        named().json_data(ErrorDocument { error }).unwrap_or_else(|_| named())
    })
}
