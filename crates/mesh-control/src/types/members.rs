use mesh_protocol::{PeerId, UnixMillis};
use serde::{Deserialize, Serialize};

/// A peer by identity and label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRef {
    /// Its identity.
    pub peer_id: PeerId,
    /// Its label; empty when it is no member.
    pub hostname: String,
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
    /// Its removal, while too few members have asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<PendingRemovalView>,
}

/// A removal that too few members have asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRemovalView {
    /// Hostnames of those that did.
    pub asked_by: Vec<String>,
    /// How many it takes.
    pub needed: usize,
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
