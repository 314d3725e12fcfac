use mesh_discovery::{LanConfig, TailscaleConfig};
use mesh_protocol::{Address, PeerId};

use crate::config::DEFAULT_PORT;

/// Where a node looks for members that it cannot reach at the addresses in their profiles.
///
/// A node that listens on loopback alone belongs to a mesh on one machine: of what Tailscale and the
/// LAN name it tries loopback addresses only, and it is not announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Addresses to try. Whoever is there has to prove to be a member.
    pub peers: Vec<Address>,
    /// LAN multicast; without it nothing is announced and nobody heard.
    pub lan: Option<LanConfig>,
    /// Where the Tailscale of this machine is asked; without it, it is not.
    pub tailscale: Option<TailscaleConfig>,
    /// The port to try on devices of the tailnet.
    pub tailscale_port: u16,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            lan: Some(LanConfig::default()),
            tailscale: Some(TailscaleConfig::default()),
            tailscale_port: DEFAULT_PORT,
        }
    }
}

impl DiscoveryConfig {
    /// Asks nobody and tries nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { peers: Vec::new(), lan: None, tailscale: None, tailscale_port: DEFAULT_PORT }
    }
}

/// What a round of discovery did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryReport {
    /// Every address that was contacted.
    pub contacted: Vec<Address>,
    /// Members that were found and linked with.
    pub found: Vec<PeerId>,
}
