//! What an announcement says, once it is found to be well formed.

use mdns_sd::ResolvedService;
use mesh_protocol::Address;

use super::LanInterfaces;
use crate::LanFound;

/// Name of the property that holds the prefix of the mesh id.
pub(super) const MESH_KEY: &str = "mesh";

/// Name of the property that holds the prefix of the peer id.
pub(super) const PEER_KEY: &str = "peer";

/// Most addresses of one announcement.
pub(super) const CLAIM_ADDRESSES_MAX: usize = 8;

/// Reads an announcement of any mesh. One without an address that may be dialled says nothing.
pub(super) fn read(service: &ResolvedService, interfaces: &LanInterfaces) -> Option<LanFound> {
    let peer = service.get_property_val_str(PEER_KEY)?.parse().ok()?;
    let mesh = service.get_property_val_str(MESH_KEY)?.parse().ok()?;
    if service.port == 0 {
        return None;
    }
    let ips = service.addresses.iter().map(|scoped| scoped.to_ip_addr());
    let mut ips: Vec<_> = ips.filter(|ip| interfaces.allow(*ip)).collect();
    // They come from a set without an order of its own; version 4 sorts first.
    ips.sort_unstable();
    ips.dedup();
    ips.truncate(CLAIM_ADDRESSES_MAX);
    let addresses: Vec<Address> =
        ips.into_iter().map(|ip| std::net::SocketAddr::new(ip, service.port).into()).collect();
    (!addresses.is_empty()).then_some(LanFound { peer, mesh, addresses })
}

#[cfg(test)]
mod tests;
