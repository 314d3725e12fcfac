//! The JSON of the local API. Field names are a contract (`docs/control-api.md`): add, never rename.
//! Times are Unix milliseconds; durations name their unit.

mod config;
mod data;
mod doctor;
mod files;
mod git;
mod joining;
mod members;
mod messages;
mod path_json;
mod sql_json;
mod status;
mod sync;

use mesh_protocol::UnixMillis;
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
pub use joining::{
    JoinProgress, JoinRequestBody, JoinStep, TokenCreate, TokenCreated, TokenState, TokenView,
};
pub use members::{
    MemberStatus, PeerRef, PeerState, PeerView, PendingRemovalView, PingReply, PingRequest,
    RemoveRequest, RenameReply, RenameRequest,
};
pub use messages::{
    DeliveryState, DeliveryView, InboxAck, InboxAckReply, InboxQuery, InboxView, OutboxView,
    SendPriority, SendReply, SendRequest,
};
pub use sql_json::SqlJson;
pub use status::{PeerCounts, QueueView, RouteCounts, StatusView, SyncView};
pub use sync::{SyncProgress, SyncReply, SyncRequest, SyncStep, SyncStepView, TableSyncView};

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
