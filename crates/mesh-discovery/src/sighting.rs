use mesh_protocol::Address;

use crate::{MeshPrefix, PeerPrefix};

/// An agent that announced itself on the LAN. Anybody there can say anything: a claim to be checked
/// over an authenticated link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanFound {
    /// Which peer it claims to be.
    pub peer: PeerPrefix,
    /// Which mesh it claims to belong to: the one that this node announces.
    pub mesh: MeshPrefix,
    /// Where it says it listens: private addresses only, in a fixed order.
    pub addresses: Vec<Address>,
}
