//! The JSON of the local API. Field names are a contract (`cli.md`): add, never rename.
//! Times are Unix milliseconds; durations name their unit.

mod config;
mod data;
mod doctor;
mod files;
mod git;
mod path_json;
mod sql_json;
mod sync;

use mesh_protocol::{ErrorCode, MeshId, MessageId, PeerId, TokenId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use config::{
    ConfigAction, ConfigChangeView, ConfigChanged, ConfigCheckView, ConfigConflictView,
    ConfigDifference, ConfigEntryView, ConfigFileState, ConfigFileView, ConfigHistoryQuery,
    ConfigHistoryView, ConfigImport, ConfigImported, ConfigPeerFile, ConfigPeerView, ConfigProblem,
    ConfigQuery, ConfigRevert, ConfigSeal, ConfigSet, ConfigStateView, ConfigStatusView,
    ConfigUnset, ConfigView, ConfigWatchQuery,
};
pub use data::{
    ChangeOperation, ChangeView, ClockSkewView, ConflictQuery, ConflictRestore, ConflictSide,
    ConflictView, DataState, DataView, NamedValues, ParkedAccept, ParkedAccepted, ParkedView,
    SqlItem, SqlReply, SqlStatement, StatementView, TableCreate, TableQuery, TableView,
    TransactionRequest, WatchQuery,
};
pub use doctor::CheckView;
pub use files::{
    PullRequest, PushCancel, PushDecision, PushDetail, PushErrorView, PushEventView,
    PushMethodName, PushRequest, PushState, PushTargetState, PushTargetView, PushTestView,
    PushView, PushesQuery, RollbackRequest, RootView,
};
pub use git::GitQuery;
pub use sql_json::SqlJson;
pub use sync::{SyncProgress, SyncReply, SyncRequest, SyncStep, SyncStepView, TableSyncView};

/// Numbers of members by status, this one included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCounts {
    /// Alive, as far as this agent knows (it counts itself).
    pub active: usize,
    /// Not so.
    pub inactive: usize,
}

/// Numbers of the other members by the way to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Over a link.
    pub direct: usize,
    /// Through other members.
    pub relayed: usize,
    /// There is no way at the moment.
    pub unreachable: usize,
}

/// How full a queue is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Messages in it.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most messages it may hold.
    pub messages_max: u64,
    /// Most bytes it may hold.
    pub bytes_max: u64,
}

/// How far this agent is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    /// Linked members whose membership records differ from this agent's at the moment.
    pub behind: usize,
}

/// This agent at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Its label.
    pub hostname: String,
    /// Its identity.
    pub peer_id: PeerId,
    /// Its mesh.
    pub mesh_id: MeshId,
    /// Version of the program.
    pub version: String,
    /// Process id of the agent.
    pub pid: u32,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Addresses it listens on.
    pub listen: Vec<String>,
    /// Where it keeps its data.
    pub data_dir: String,
    /// Members by status.
    pub peers: PeerCounts,
    /// Messages that wait to be acknowledged.
    pub outbox: QueueView,
    /// Messages that wait to be dealt with.
    pub inbox: QueueView,
    /// Messages that are kept for members whom their senders cannot reach.
    pub custody: QueueView,
    /// Other members by the way to them.
    pub routes: RouteCounts,
    /// How far it is behind.
    pub sync: SyncView,
    /// The replicated tables.
    #[serde(default)]
    pub data: DataView,
    /// The shared configuration.
    #[serde(default)]
    pub config: ConfigStatusView,
    /// Set when this agent was expelled from its mesh.
    pub removed: bool,
}

/// Asks for a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreate {
    /// Lifetime; none means 24 hours.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// For people; at most 1,024 bytes.
    #[serde(default)]
    pub note: String,
}

/// A new token. The only time that its text is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// The text to hand to the joiner. A secret.
    pub token: String,
    /// Names the token without revealing it.
    pub token_id: TokenId,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It admits one peer.
    Unused,
    /// It has admitted one.
    Used,
    /// Its time is over.
    Expired,
    /// It was withdrawn.
    Revoked,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Names the token.
    pub token_id: TokenId,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
    /// What became of it.
    pub state: TokenState,
    /// The member that it admitted.
    pub used_by: Option<PeerRef>,
}

/// A peer by identity and label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRef {
    /// Its identity.
    pub peer_id: PeerId,
    /// Its label; empty when it is no member.
    pub hostname: String,
}

/// Asks to join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequestBody {
    /// The token's text. A secret.
    pub token: String,
}

impl std::fmt::Debug for JoinRequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequestBody").finish_non_exhaustive()
    }
}

/// The six steps of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStep {
    /// The token's text is whole and its time is not over.
    TokenChecked,
    /// The issuer answered and proved its key.
    IssuerReached,
    /// The issuer admitted this agent.
    Admitted,
    /// The full list of members was received and checked.
    PeersReceived,
    /// The members are stored.
    PeersStored,
    /// The members that could be reached know this agent and are linked with it.
    MembersLinked,
}

/// What happens during a join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum JoinProgress {
    /// A step is done.
    Step {
        /// Which.
        step: JoinStep,
        /// Its number, from 1.
        number: u8,
        /// How many there are.
        total: u8,
        /// For people.
        detail: String,
    },
    /// This agent is a member.
    Done {
        /// The mesh.
        mesh_id: MeshId,
        /// Its members.
        peers: Vec<PeerView>,
    },
    /// The join failed; this agent is in the mesh it was in before, unless the text says otherwise.
    Failed {
        /// Why.
        error: crate::ApiError,
    },
}

/// Whether a member is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Alive, as far as this agent knows.
    Active,
    /// Not so.
    Inactive,
}

/// What this agent believes of a member, more exactly than its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// It answers, this agent or another member.
    Alive,
    /// It fell silent a moment ago; others are being asked.
    Suspect,
    /// Nobody reaches it.
    Down,
    /// Nobody has reached it for a while.
    Inactive,
}

impl PeerState {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Inactive => "inactive",
        }
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its label.
    pub hostname: String,
    /// Its identity.
    pub peer_id: PeerId,
    /// Whether it is up.
    pub status: MemberStatus,
    /// The same, more exactly.
    pub state: PeerState,
    /// Hostnames of the members between this agent and it: none for a link, null when there is no way.
    pub via: Option<Vec<String>>,
    /// When it was last heard of; none when never.
    pub last_seen_at: Option<UnixMillis>,
    /// When it was admitted.
    pub joined_at: UnixMillis,
    /// Where it can be dialled.
    pub addresses: Vec<String>,
    /// Its address in its tailnet.
    pub tailscale_ip: Option<String>,
    /// Its name in its tailnet.
    pub tailscale_hostname: Option<String>,
    /// Version of its program.
    pub version: String,
    /// Latest round trip over the link, milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether it is this agent.
    #[serde(rename = "self")]
    pub is_self: bool,
}

/// Expels a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// Hostname, peer id, or the first eight or more digits of it.
    pub host: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// Renames this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameRequest {
    /// The new name.
    pub hostname: String,
}

/// What a rename did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameReply {
    /// The name in force.
    pub hostname: String,
    /// The name before.
    pub former: String,
    /// Members that were told at once; the others learn it when they link.
    pub peers_told: usize,
}

/// Asks for a round trip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingRequest {
    /// Hostname, peer id, or the first eight or more digits of it.
    pub host: String,
    /// How long to wait; none means 5 seconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// A round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PingReply {
    /// How long it took, milliseconds.
    pub rtt_ms: f64,
    /// The way: `direct`, or the members that it went through.
    pub via: String,
    /// The peer's clock minus this one's, milliseconds, as well as one round trip can tell.
    pub clock_offset_ms: i64,
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendPriority {
    /// Overtakes everything else.
    Urgent,
    /// The default.
    #[default]
    Normal,
    /// Waits for everything else.
    Bulk,
}

/// A message to send. Either `to` or `broadcast`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRequest {
    /// Hostname, peer id, or the first eight or more digits of it.
    #[serde(default)]
    pub to: Option<String>,
    /// To every member.
    #[serde(default)]
    pub broadcast: bool,
    /// Names the application and the meaning of `data`.
    pub app_type: String,
    /// The document.
    pub data: Value,
    /// Seals the message end to end.
    #[serde(default)]
    pub seal: bool,
    /// Lifetime; none means 7 days.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// How long to wait for the deliveries; none returns once the message is committed here.
    #[serde(default)]
    pub wait_seconds: Option<u64>,
    /// How urgent.
    #[serde(default)]
    pub priority: SendPriority,
}

/// What became of a message for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Committed by the receiver.
    Acked,
    /// Waits in the outbox.
    Queued,
    /// Its lifetime ended.
    Expired,
    /// The receiver will never take it.
    Refused,
}

/// One delivery of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// The receiver's hostname.
    pub to: String,
    /// The receiver's identity.
    pub peer_id: PeerId,
    /// What became of it.
    pub state: DeliveryState,
    /// The way it went; none when it waits.
    pub via: Option<String>,
    /// From the request to the end, milliseconds; none when it waits.
    pub ms: Option<f64>,
    /// Why it was refused.
    #[serde(default)]
    pub error: Option<ErrorCode>,
}

/// A committed message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendReply {
    /// Its id.
    pub message_id: MessageId,
    /// One per receiver; empty when the request did not wait.
    #[serde(default)]
    pub deliveries: Vec<DeliveryView>,
    /// What people should know, such as that the name is an old one.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Which messages to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxQuery {
    /// Only this application type.
    #[serde(default)]
    pub app_type: Option<String>,
    /// Only from this member.
    #[serde(default)]
    pub from: Option<String>,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// A message received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxView {
    /// Its id.
    pub message_id: MessageId,
    /// The sender's hostname; its peer id when it is no member any more.
    pub from: String,
    /// The sender's identity.
    pub from_peer_id: PeerId,
    /// This agent's hostname, or `broadcast`.
    pub to: String,
    /// Names the application and the meaning of `data`; empty for other payloads.
    pub app_type: String,
    /// The document; for payloads other than custom JSON their whole JSON form.
    pub data: Value,
    /// When it was written, by the sender's clock.
    pub timestamp: UnixMillis,
    /// When it was committed here.
    pub received_at: UnixMillis,
    /// Whether it was sealed end to end.
    pub sealed: bool,
    /// The way it came.
    pub via: String,
}

/// Messages that were dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxAck {
    /// Their ids; at most 10,000.
    pub message_ids: Vec<MessageId>,
}

/// What an acknowledgement did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxAckReply {
    /// How many left the inbox.
    pub acked: u64,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxView {
    /// Its id.
    pub message_id: MessageId,
    /// The receiver's hostname; its peer id when it is no member any more.
    pub to: String,
    /// The receiver's identity.
    pub to_peer_id: PeerId,
    /// Hostnames of the members that keep a copy until the receiver is back.
    #[serde(default)]
    pub custodians: Vec<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried again; none when it is under way or waits for a link.
    pub next_attempt_at: Option<UnixMillis>,
    /// What it waits for (`queued`, `sending`, `retrying`, `waiting_for_link`), or how it ended (`expired`, `refused`).
    pub state: String,
    /// Why the last attempt failed, or why it was refused.
    pub reason: Option<ErrorCode>,
    /// When its lifetime ends.
    pub expires_at: UnixMillis,
    /// Its size.
    pub bytes: u64,
}

/// Something that happened on this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// When.
    pub at: UnixMillis,
    /// What, as a stable word.
    pub kind: String,
    /// Everything else, by kind.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, Value>,
}
