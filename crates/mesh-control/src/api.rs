mod config;
mod data;
mod files;
mod git;

use std::future::Future;

use futures_util::stream::BoxStream;
use mesh_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::{
    CheckView, EventView, InboxAck, InboxAckReply, InboxQuery, InboxView, JoinProgress,
    JoinRequestBody, OutboxView, PeerView, PingReply, PingRequest, RemoveRequest, RenameReply,
    RenameRequest, SendReply, SendRequest, StatusView, SyncProgress, SyncRequest, TokenCreate,
    TokenCreated, TokenView,
};

pub use self::config::ConfigApi;
pub use self::data::{BackupStream, DataApi};
pub use self::files::FilesApi;
pub use self::git::{GitApi, GitStream, GitTunnel};

/// Why a request failed: what happened and what state was left (`message`), and what to do (`hint`).
///
/// In JSON it is wrapped: `{"error": {"code": …, "message": …, "hint": …}}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ApiError {
    /// The stable word.
    pub code: ErrorCode,
    /// What happened, and what state was left.
    pub message: String,
    /// What to do next; empty when nothing is known to help.
    #[serde(default)]
    pub hint: String,
}

impl ApiError {
    /// An error with its three parts.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }
}

/// What an agent can be asked over its socket. Every future may be dropped half-way.
pub trait ControlApi: DataApi + ConfigApi + FilesApi + GitApi {
    /// This agent at a glance.
    fn status(&self) -> impl Future<Output = Result<StatusView, ApiError>> + Send;

    /// Looks for faults of this agent and its machine, and names what mends them.
    fn doctor(&self) -> impl Future<Output = Result<Vec<CheckView>, ApiError>> + Send;

    /// Brings this agent and the members in step at once. The stream ends with `Done` or `Failed`.
    fn sync(&self, request: SyncRequest) -> BoxStream<'static, SyncProgress>;

    /// Makes a single-use join token.
    fn token_create(
        &self,
        request: TokenCreate,
    ) -> impl Future<Output = Result<TokenCreated, ApiError>> + Send;

    /// The tokens that this agent issued, newest first.
    fn token_list(&self) -> impl Future<Output = Result<Vec<TokenView>, ApiError>> + Send;

    /// Withdraws a token; `token_id` may be a prefix of at least four digits that names one token.
    fn token_revoke(
        &self,
        token_id: String,
    ) -> impl Future<Output = Result<TokenView, ApiError>> + Send;

    /// Joins the mesh of the token's issuer. The stream ends with `Done` or `Failed`.
    fn join(&self, request: JoinRequestBody) -> BoxStream<'static, JoinProgress>;

    /// The members, this one first, then by hostname.
    fn peers(&self) -> impl Future<Output = Result<Vec<PeerView>, ApiError>> + Send;

    /// Expels a member.
    fn peer_remove(
        &self,
        request: RemoveRequest,
    ) -> impl Future<Output = Result<PeerView, ApiError>> + Send;

    /// Renames this member.
    fn rename(
        &self,
        request: RenameRequest,
    ) -> impl Future<Output = Result<RenameReply, ApiError>> + Send;

    /// One round trip to a member.
    fn ping(
        &self,
        request: PingRequest,
    ) -> impl Future<Output = Result<PingReply, ApiError>> + Send;

    /// Sends a custom JSON message; with `wait_seconds` it returns when every delivery ended, or the time did.
    fn send(
        &self,
        request: SendRequest,
    ) -> impl Future<Output = Result<SendReply, ApiError>> + Send;

    /// Messages received, oldest first.
    fn inbox(
        &self,
        query: InboxQuery,
    ) -> impl Future<Output = Result<Vec<InboxView>, ApiError>> + Send;

    /// What [`ControlApi::inbox`] returns, then every message as it arrives. `limit` ends the stream.
    fn inbox_follow(&self, query: InboxQuery) -> BoxStream<'static, Result<InboxView, ApiError>>;

    /// Says that messages were dealt with: they leave the inbox.
    fn inbox_ack(
        &self,
        request: InboxAck,
    ) -> impl Future<Output = Result<InboxAckReply, ApiError>> + Send;

    /// What waits in the outbox, and what ended there without being acknowledged.
    fn outbox(&self) -> impl Future<Output = Result<Vec<OutboxView>, ApiError>> + Send;

    /// The latest events, oldest first.
    fn events(&self, limit: usize)
    -> impl Future<Output = Result<Vec<EventView>, ApiError>> + Send;

    /// The latest `limit` events, then every event as it happens.
    fn events_follow(&self, limit: usize) -> BoxStream<'static, EventView>;
}
