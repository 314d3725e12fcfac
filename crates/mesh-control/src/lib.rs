//! The local admin API of an agent: HTTP with JSON over a Unix socket.
//!
//! One set of types serves both ends: [`ControlServer`] answers for whatever implements
//! [`ControlApi`], and [`ControlClient`] asks. [`MetricsServer`] shows figures on a loopback port to
//! whoever collects them. Never in here: what a request means (that is the node's), or a TCP port
//! over which anything can be changed.
//!
//! Start reading at [`ControlApi`]. The routes are described in `docs/control-api.md`.

mod api;
mod client;
mod error;
pub mod hints;
mod limits;
mod paths;
mod server;
mod types;

pub use api::{
    ApiError, BackupStream, ConfigApi, ControlApi, DataApi, FilesApi, GitApi, GitStream, GitTunnel,
};
pub use client::{
    BackupDownload, ControlClient, ControlStream, GitConnection, GitInput, GitOutput,
};
pub use error::{BindError, ClientError, DefaultPathError, ErrorDocument, MetricsBindError};
pub use limits::{
    CONFIG_DIFFERENCES_MAX, CONFIG_ENTRIES_MAX, CONFIG_HISTORY_DEFAULT, CONFIG_HISTORY_MAX,
    PUSHES_DEFAULT, PUSHES_MAX, SQL_BATCH_BYTES_TARGET, SQL_BYTES_MAX, SQL_ROWS_MAX,
    STATEMENTS_MAX, STREAM_ITEM_BYTES_MAX,
};
pub use paths::{default_data_dir, default_socket_path, socket_path_in};
pub use server::{ControlServer, MetricsServer};
pub use types::{
    ChangeOperation, ChangeView, CheckView, ClockSkewView, ConfigAction, ConfigChangeView,
    ConfigChanged, ConfigCheckView, ConfigConflictView, ConfigDifference, ConfigEntryView,
    ConfigFileState, ConfigFileView, ConfigHistoryQuery, ConfigHistoryView, ConfigImport,
    ConfigImported, ConfigPeerFile, ConfigPeerView, ConfigProblem, ConfigQuery, ConfigRevert,
    ConfigSeal, ConfigSet, ConfigStateView, ConfigStatusView, ConfigUnset, ConfigView,
    ConfigWatchQuery, ConflictQuery, ConflictRestore, ConflictSide, ConflictView, DataState,
    DataView, DeliveryState, DeliveryView, EventView, GitQuery, InboxAck, InboxAckReply,
    InboxQuery, InboxView, JoinProgress, JoinRequestBody, JoinStep, MemberStatus, NamedValues,
    OutboxView, ParkedAccept, ParkedAccepted, ParkedView, PeerCounts, PeerRef, PeerState, PeerView,
    PendingRemovalView, PingReply, PingRequest, PullRequest, PushCancel, PushDecision, PushDetail,
    PushErrorView, PushEventView, PushMethodName, PushRequest, PushState, PushTargetState,
    PushTargetView, PushTestView, PushView, PushesQuery, QueueView, RemoveRequest, RenameReply,
    RenameRequest, RollbackRequest, RootView, RouteCounts, SendPriority, SendReply, SendRequest,
    SqlItem, SqlJson, SqlReply, SqlStatement, StatementView, StatusView, SyncProgress, SyncReply,
    SyncRequest, SyncStep, SyncStepView, SyncView, TableCreate, TableQuery, TableSyncView,
    TableView, TokenCreate, TokenCreated, TokenState, TokenView, TransactionRequest, WatchQuery,
};
