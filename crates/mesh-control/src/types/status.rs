use mesh_protocol::{MeshId, PeerId};
use serde::{Deserialize, Serialize};

use super::{ConfigStatusView, DataView};

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
    /// Members whose removal too few have asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_removals: Vec<String>,
    /// Set when this agent was expelled from its mesh.
    pub removed: bool,
}
