//! The routes of the replicated tables.

use std::io;

use axum::body::Body as AnswerBody;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::super::reply::{Body, DATA_BODY_BYTES_MAX, Parameters, Refusal};
use super::{Reply, Shared, follow, part_of_path};
use crate::{
    ApiError, BackupStream, ConflictQuery, ConflictRestore, ConflictView, ControlApi, ParkedAccept,
    ParkedAccepted, ParkedView, STATEMENTS_MAX, SqlReply, SqlStatement, StatementView, TableCreate,
    TableQuery, TableView, TransactionRequest, WatchQuery,
};

pub(super) fn routes<A: ControlApi>() -> Router<Shared<A>> {
    Router::new()
        .route("/v1/tables", get(table_list::<A>).post(table_create::<A>))
        .route("/v1/tables/{name}", delete(table_drop::<A>))
        .route("/v1/sql", post(sql::<A>))
        .route("/v1/sql/rows", post(sql_rows::<A>))
        .route("/v1/transaction", post(transaction::<A>))
        .route("/v1/watch", get(watch::<A>))
        .route("/v1/conflicts", get(conflict_list::<A>))
        .route("/v1/conflicts/restore", post(conflict_restore::<A>))
        .route("/v1/parked", get(parked_list::<A>))
        .route("/v1/parked/accept", post(parked_accept::<A>))
        .route("/v1/backup", get(backup::<A>))
}

async fn table_list<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<TableQuery>,
) -> Reply<Vec<TableView>> {
    Ok(Json(shared.api.table_list(query).await?))
}

async fn table_create<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<TableCreate>,
) -> Reply<TableView> {
    Ok(Json(shared.api.table_create(request).await?))
}

async fn table_drop<A: ControlApi>(
    State(shared): State<Shared<A>>,
    name: Result<Path<String>, PathRejection>,
) -> Reply<TableView> {
    Ok(Json(shared.api.table_drop(part_of_path(name)?).await?))
}

async fn sql<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(statement): Body<SqlStatement, DATA_BODY_BYTES_MAX>,
) -> Reply<SqlReply> {
    Ok(Json(shared.api.sql(statement).await?))
}

async fn sql_rows<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(statement): Body<SqlStatement, DATA_BODY_BYTES_MAX>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.sql_rows(statement))
}

async fn transaction<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<TransactionRequest, DATA_BODY_BYTES_MAX>,
) -> Reply<Vec<StatementView>> {
    if request.statements.len() > STATEMENTS_MAX {
        let message = format!("more than {STATEMENTS_MAX} statements; none was carried out");
        return Err(Refusal::bad_request(message));
    }
    Ok(Json(shared.api.transaction(request).await?))
}

async fn watch<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<WatchQuery>,
) -> Result<Response, Refusal> {
    follow(&shared, |api| api.watch(query))
}

async fn conflict_list<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Parameters(query): Parameters<ConflictQuery>,
) -> Reply<Vec<ConflictView>> {
    Ok(Json(shared.api.conflict_list(query).await?))
}

async fn conflict_restore<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ConflictRestore>,
) -> Reply<ConflictView> {
    Ok(Json(shared.api.conflict_restore(request).await?))
}

async fn parked_list<A: ControlApi>(State(shared): State<Shared<A>>) -> Reply<Vec<ParkedView>> {
    Ok(Json(shared.api.parked_list().await?))
}

async fn parked_accept<A: ControlApi>(
    State(shared): State<Shared<A>>,
    Body(request): Body<ParkedAccept>,
) -> Reply<ParkedAccepted> {
    Ok(Json(shared.api.parked_accept(request).await?))
}

async fn backup<A: ControlApi>(State(shared): State<Shared<A>>) -> Result<Response, Refusal> {
    let permit = shared.admit_follower()?;
    let BackupStream { bytes_total, mut chunks } = shared.api.backup().await?;
    // What fails before anything was sent can still be told.
    let first = chunks.next().await.transpose()?;
    let chunks = stream::iter(first.map(Ok)).chain(chunks).boxed();
    let chunks = unless_stopped(chunks, shared.shutdown.clone()).map(move |chunk| {
        // Held by the stream, so that the place is free again when it ends.
        let _held = &permit;
        chunk
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Some(bytes) = bytes_total {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Ok((headers, AnswerBody::from_stream(chunks)).into_response())
}

/// The same, with an error where the agent stops half-way: an archive that was cut off must not look whole.
fn unless_stopped(
    chunks: BoxStream<'static, Result<Bytes, ApiError>>,
    shutdown: CancellationToken,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(chunks), move |chunks| {
        let shutdown = shutdown.clone();
        async move {
            let mut chunks = chunks?;
            let chunk = tokio::select! {
                biased;
                () = shutdown.cancelled() => Err(io::Error::other("the agent is stopping")),
                chunk = chunks.next() => chunk?.map_err(|error| {
                    tracing::warn!(code = %error.code, message = error.message, "a backup broke off");
                    io::Error::other(error)
                }),
            };
            let rest = chunk.is_ok().then_some(chunks);
            Some((chunk, rest))
        }
    })
}
