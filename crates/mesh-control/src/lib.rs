//! The local admin API of an agent: HTTP with JSON over a Unix socket.
//!
//! One set of types serves both ends: [`serve`] answers for whatever implements [`ControlApi`], and
//! [`ControlClient`] asks. Never in here: what a request means (that is the node's), or a TCP port.
//!
//! Start reading at [`ControlApi`]. The routes are described in `docs/control-api.md`.

mod api;
mod types;

pub use api::{ApiError, ControlApi};
pub use types::{
    DeliveryState, DeliveryView, EventView, InboxAck, InboxAckReply, InboxQuery, InboxView,
    JoinProgress, JoinRequestBody, JoinStep, MemberStatus, OutboxView, PeerCounts, PeerRef,
    PeerView, PingReply, PingRequest, QueueView, RemoveRequest, RenameReply, RenameRequest,
    SendPriority, SendReply, SendRequest, StatusView, SyncView, TokenCreate, TokenCreated,
    TokenState, TokenView,
};
