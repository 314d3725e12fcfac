//! Which networks count as a LAN.

use std::net::{IpAddr, Ipv6Addr};

use if_addrs::Interface;

use super::LanInterfaces;

/// Tailscale's own part of the unique local addresses: no LAN, though it looks like one.
const TAILSCALE_V6: [u16; 3] = [0xfd7a, 0x115c, 0xa1e0];

impl LanInterfaces {
    /// Whether `interface`, which stands for one address of its, takes part.
    pub(super) fn take(&self, interface: &Interface) -> bool {
        match self {
            Self::Named(names) => names.contains(&interface.name),
            // Asking the system again is spared for all but the few that may pass.
            Self::Private if !is_private(interface.ip()) => false,
            Self::Private => {
                if_addrs::get_if_addrs().is_ok_and(|all| is_private_alone(interface, &all))
            }
        }
    }

    /// Whether an agent on these networks may be dialled at `ip`. Anybody on the LAN can announce any
    /// address, and must not make this node call strangers.
    #[must_use]
    pub fn allow(&self, ip: IpAddr) -> bool {
        match self {
            Self::Named(_) => is_private(ip) || ip.is_loopback(),
            Self::Private => is_private(ip),
        }
    }
}

/// Whether no address of the same interface and family is a public one. What arrives for a public
/// address arrives on the same interface, and would be answered.
fn is_private_alone(interface: &Interface, all: &[Interface]) -> bool {
    let mut same = all.iter().filter(|other| {
        other.name == interface.name && other.ip().is_ipv4() == interface.ip().is_ipv4()
    });
    same.all(|other| is_private(other.ip()) || other.is_link_local())
}

/// Link-local addresses are left out: version 6 ones cannot be dialled without naming the interface,
/// and version 4 ones come and go.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local() && !is_tailscale(ip),
    }
}

fn is_tailscale(ip: Ipv6Addr) -> bool {
    ip.segments().starts_with(&TAILSCALE_V6)
}

#[cfg(test)]
mod tests;
