//! What goes in and out of a route: JSON, server-sent events, and errors of one shape.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt as _};
use bytes::Bytes;
use futures_util::StreamExt as _;
use mesh_protocol::ErrorCode;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{ApiError, ErrorDocument};

/// Largest request body; a message of the largest size fits with its escapes.
pub(super) const BODY_BYTES_MAX: usize = 2 << 20;

/// Largest request body with statements: what they write has a larger form in JSON than in the database.
pub(super) const DATA_BODY_BYTES_MAX: usize = 32 << 20;

/// How long a request body may take to arrive.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is read and thrown away of a body that was refused, and for how long.
const DRAIN_BYTES_MAX: usize = 256 << 20;
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

const API_HINT: &str = "the routes and their fields are described in docs/control-api.md";

/// An error on its way out.
#[derive(Debug)]
pub(super) struct Refusal(ApiError);

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>, hint: &str) -> Self {
        Self(ApiError::new(code, message, hint))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message, API_HINT)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message, API_HINT)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = status_of(self.0.code);
        tracing::debug!(code = %self.0.code, message = self.0.message, "control request refused");
        (status, Json(ErrorDocument { error: self.0 })).into_response()
    }
}

/// The status that goes with a code. Clients go by the code; the status serves generic tools.
const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest
        | ErrorCode::ConfigKeyInvalid
        | ErrorCode::ConfigKeyLocal
        | ErrorCode::HostnameInvalid
        | ErrorCode::SchemaInvalid
        | ErrorCode::StatementInvalid
        | ErrorCode::StatementRefused
        | ErrorCode::TokenInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::NotAMember
        | ErrorCode::PathRefused
        | ErrorCode::SealedUnreadable
        | ErrorCode::SecretFound => StatusCode::FORBIDDEN,
        ErrorCode::NotFound
        | ErrorCode::UnknownConflict
        | ErrorCode::UnknownKey
        | ErrorCode::UnknownPeer
        | ErrorCode::UnknownPush
        | ErrorCode::UnknownRepository
        | ErrorCode::UnknownRoot
        | ErrorCode::UnknownTable
        | ErrorCode::UnknownVersion => StatusCode::NOT_FOUND,
        ErrorCode::PositionGone => StatusCode::GONE,
        ErrorCode::AlreadyMember
        | ErrorCode::AmbiguousPush
        | ErrorCode::AmbiguousVersion
        | ErrorCode::ChangedSince
        | ErrorCode::ChecksumMismatch
        | ErrorCode::ClockSkew
        | ErrorCode::ConstraintFailed
        | ErrorCode::HostnameTaken
        | ErrorCode::MessageExpired
        | ErrorCode::MessageMisdirected
        | ErrorCode::SealInvalid
        | ErrorCode::TokenExpired
        | ErrorCode::TokenRevoked
        | ErrorCode::TokenUsed
        | ErrorCode::VersionUnsupported => StatusCode::CONFLICT,
        ErrorCode::ConfigTooLarge | ErrorCode::MessageTooLarge | ErrorCode::TooManyRows => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::AgentUnreachable
        | ErrorCode::IssuerUnreachable
        | ErrorCode::PeerUnreachable
        | ErrorCode::ProtocolError => StatusCode::BAD_GATEWAY,
        ErrorCode::QueueFull | ErrorCode::ReadOnly | ErrorCode::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::QueryTooLong | ErrorCode::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::Internal | ErrorCode::StorageError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON body of at most `BYTES_MAX`, whatever content type it claims; an empty one reads as `{}`.
#[derive(Debug)]
pub(super) struct Body<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync, const BYTES_MAX: usize> FromRequest<S>
    for Body<T, BYTES_MAX>
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if is_announced_too_large(&request, BYTES_MAX) {
            drain(request).await;
            return Err(too_large(BYTES_MAX));
        }
        let mut request = request;
        DefaultBodyLimit::max(BYTES_MAX).apply(&mut request);
        let bytes = timeout(BODY_WAIT_MAX, request.extract::<Bytes, _>())
            .await
            .map_err(|_| Refusal::bad_request("the body did not arrive in time"))?
            .map_err(|rejection| body_refusal(&rejection, BYTES_MAX))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Refusal::bad_request(format!("the body is not the JSON of this route: {error}"))
        })
    }
}

fn is_announced_too_large(request: &Request, bytes_max: usize) -> bool {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|bytes| bytes.to_str().ok()?.parse::<u64>().ok());
    announced.is_some_and(|bytes| bytes > bytes_max as u64)
}

/// Reads a body and keeps nothing of it. Closing on a client that is still writing can make the system
/// throw the answer away before it is read. A client that asked whether it may send is just told no.
async fn drain(request: Request) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let draining = async {
        let mut chunks = request.into_body().into_data_stream();
        let mut bytes_left = DRAIN_BYTES_MAX;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes_left = bytes_left.saturating_sub(chunk.len());
            if bytes_left == 0 {
                return;
            }
        }
    };
    let _in_time = timeout(DRAIN_WAIT_MAX, draining).await;
}

fn too_large(bytes_max: usize) -> Refusal {
    let message = format!("the body exceeds {bytes_max} bytes; nothing was done");
    Refusal::new(ErrorCode::MessageTooLarge, message, "send it in smaller parts")
}

fn body_refusal(rejection: &BytesRejection, bytes_max: usize) -> Refusal {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(bytes_max);
    }
    Refusal::bad_request("the body could not be read")
}

/// The part behind the question mark.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Refusal::bad_request(rejection.body_text())),
        }
    }
}
