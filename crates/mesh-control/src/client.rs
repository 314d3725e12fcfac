//! The other end of the socket: one method per question.

mod config;
mod data;
mod files;
mod git;
mod http;
mod kept;
mod sse;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use mesh_protocol::MessageId;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::data::BackupDownload;
pub use self::git::{GitConnection, GitInput, GitOutput};
use self::http::{Call, encode};
use self::kept::Kept;
use crate::{
    CheckView, ClientError, EventView, InboxAck, InboxAckReply, InboxQuery, InboxView,
    JoinProgress, JoinRequestBody, OutboxView, PeerView, PingReply, PingRequest, RemoveRequest,
    RenameReply, RenameRequest, SendReply, SendRequest, StatusView, SyncProgress, SyncRequest,
    TokenCreate, TokenCreated, TokenView,
};

/// How long an answer may take that needs nobody but the agent.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// What is added to a wait that the agent itself keeps, so that its answer wins over this side's.
const WAIT_MARGIN: Duration = Duration::from_secs(15);

/// Items as they happen. It ends when the agent says so, and with an error when the agent is lost.
pub type ControlStream<T> = Pin<Box<dyn Stream<Item = Result<T, ClientError>> + Send>>;

/// Asks an agent over its socket. A few connections are kept between requests, by all clones together;
/// what follows something has one of its own.
///
/// Every future may be dropped half-way, which closes its connection. A request that may have reached the
/// agent is never sent a second time.
#[derive(Clone, Debug)]
pub struct ControlClient {
    path: PathBuf,
    kept: Kept,
}

/// Every method fails with [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "one error type, described with the type")]
impl ControlClient {
    /// A client of the agent whose socket is `path`. Nothing is opened yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kept: Kept::default() }
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The agent at a glance.
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get("/v1/status").await
    }

    /// Looks for faults of the agent and its machine, and names what mends them.
    pub async fn doctor(&self) -> Result<Vec<CheckView>, ClientError> {
        self.get("/v1/doctor").await
    }

    /// Brings the agent and the members in step at once. The stream ends with `Done` or `Failed`.
    pub async fn sync(
        &self,
        request: &SyncRequest,
    ) -> Result<ControlStream<SyncProgress>, ClientError> {
        http::follow(&self.path, Call::post("/v1/sync", request)?).await
    }

    /// Makes a single-use join token.
    pub async fn token_create(&self, request: &TokenCreate) -> Result<TokenCreated, ClientError> {
        self.post("/v1/tokens", request, WAIT_DEFAULT).await
    }

    /// The tokens that the agent issued, newest first.
    pub async fn token_list(&self) -> Result<Vec<TokenView>, ClientError> {
        self.get("/v1/tokens").await
    }

    /// Withdraws a token.
    pub async fn token_revoke(&self, token_id: &str) -> Result<TokenView, ClientError> {
        let call = Call::delete(format!("/v1/tokens/{}", encode(token_id)));
        self.ask(call, WAIT_DEFAULT).await
    }

    /// Joins the mesh of the token's issuer. The stream ends with `Done` or `Failed`.
    pub async fn join(
        &self,
        request: &JoinRequestBody,
    ) -> Result<ControlStream<JoinProgress>, ClientError> {
        http::follow(&self.path, Call::post("/v1/join", request)?).await
    }

    /// The members, the agent itself first.
    pub async fn peers(&self) -> Result<Vec<PeerView>, ClientError> {
        self.get("/v1/peers").await
    }

    /// Expels a member.
    pub async fn peer_remove(&self, request: &RemoveRequest) -> Result<PeerView, ClientError> {
        self.post("/v1/peers/remove", request, WAIT_DEFAULT).await
    }

    /// Renames the agent.
    pub async fn rename(&self, request: &RenameRequest) -> Result<RenameReply, ClientError> {
        self.post("/v1/hostname", request, WAIT_DEFAULT).await
    }

    /// One round trip to a member.
    pub async fn ping(&self, request: &PingRequest) -> Result<PingReply, ClientError> {
        let wait =
            request.timeout_ms.map_or(WAIT_DEFAULT, |ms| Duration::from_millis(ms) + WAIT_MARGIN);
        self.post("/v1/ping", request, wait).await
    }

    /// Sends a custom JSON message.
    pub async fn send(&self, request: &SendRequest) -> Result<SendReply, ClientError> {
        let wait = Duration::from_secs(request.wait_seconds.unwrap_or(0));
        self.post("/v1/messages", request, wait.saturating_add(WAIT_DEFAULT)).await
    }

    /// Messages received, oldest first.
    pub async fn inbox(&self, query: &InboxQuery) -> Result<Vec<InboxView>, ClientError> {
        self.get(&inbox_path("/v1/inbox", query)).await
    }

    /// What [`ControlClient::inbox`] returns, then every message as it arrives.
    pub async fn inbox_follow(
        &self,
        query: &InboxQuery,
    ) -> Result<ControlStream<InboxView>, ClientError> {
        http::follow(&self.path, Call::get(inbox_path("/v1/inbox/follow", query))).await
    }

    /// Says that messages were dealt with; at most 10,000 at a time.
    pub async fn inbox_ack(
        &self,
        message_ids: Vec<MessageId>,
    ) -> Result<InboxAckReply, ClientError> {
        self.post("/v1/inbox/ack", &InboxAck { message_ids }, WAIT_DEFAULT).await
    }

    /// What waits in the outbox, and what ended there.
    pub async fn outbox(&self) -> Result<Vec<OutboxView>, ClientError> {
        self.get("/v1/outbox").await
    }

    /// The latest events, oldest first.
    pub async fn events(&self, limit: usize) -> Result<Vec<EventView>, ClientError> {
        self.get(&format!("/v1/events?limit={limit}")).await
    }

    /// The latest `limit` events, then every event as it happens.
    pub async fn events_follow(
        &self,
        limit: usize,
    ) -> Result<ControlStream<EventView>, ClientError> {
        http::follow(&self.path, Call::get(format!("/v1/events/follow?limit={limit}"))).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Call::get(path.to_owned()), WAIT_DEFAULT).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, ClientError> {
        self.ask(Call::post(path, body)?, wait).await
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call, wait: Duration) -> Result<T, ClientError> {
        http::ask(&self.path, &self.kept, call, wait).await
    }
}

fn inbox_path(path: &str, query: &InboxQuery) -> String {
    let InboxQuery { app_type, from, limit } = query;
    let limit = limit.map(|limit| limit.to_string());
    path_with(path, [("app_type", app_type), ("from", from), ("limit", &limit)])
}

/// `path` with those parameters that there are.
fn path_with<const N: usize>(path: &str, parameters: [(&str, &Option<String>); N]) -> String {
    let pairs = parameters.into_iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name}={}", encode(value)))
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
