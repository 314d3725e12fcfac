use mesh_protocol::{ErrorCode, MessageId, PeerId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
