//! Joins what the sources found into one short list of addresses worth trying.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use mesh_protocol::Address;

use crate::{LanFound, PeerPrefix, TailscaleState, TailscaleStatus};

/// Most candidates of one round.
pub const CANDIDATES_MAX: usize = 256;

/// What a source gets of a round while the others need theirs.
const SHARE: usize = CANDIDATES_MAX / 3;

/// What the sources found.
#[derive(Clone, Copy, Debug)]
pub struct CandidateSources<'a> {
    /// What Tailscale says; only its devices that are online count, and only while it runs.
    pub tailscale: Option<&'a TailscaleStatus>,
    /// The port to try on those devices.
    pub tailscale_port: u16,
    /// Addresses that the operator wrote down.
    pub configured: &'a [Address],
    /// Agents of the same mesh that announced themselves on the LAN.
    pub lan: &'a [LanFound],
    /// Where this node itself is dialled; its ports on other addresses of its own count as well.
    pub own: &'a [Address],
    /// Counts up from round to round, so that a source with more than its share is worked through.
    pub round: usize,
}

/// An address at which an agent of the mesh may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whom the source claims to be there. A device of Tailscale or a configured address may be
    /// anybody.
    pub peer: Option<PeerPrefix>,
    /// Where to try.
    pub address: Address,
    /// Who named it.
    pub source: CandidateSource,
}

/// Who named a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateSource {
    /// The operator.
    Configured,
    /// The agent itself, on the LAN.
    Lan,
    /// Tailscale.
    Tailscale,
}

/// Lists what is worth trying, at most [`CANDIDATES_MAX`], each pair of claim and address once.
///
/// The sources take turns, so that none can crowd out another, however much it is made to say; what
/// does not fit has its turn in a later round. Two claims on one address are both listed: a false one
/// must not hide the true one. Ranges, this node's own addresses and those that cannot be dialled are
/// never listed.
#[must_use]
pub fn candidates(sources: &CandidateSources<'_>) -> Vec<Candidate> {
    let own = Own::new(sources);
    let mut lists = [
        turned(configured(sources), sources.round),
        turned(lan(sources), sources.round),
        turned(tailscale(sources), sources.round),
    ]
    .map(Vec::into_iter);
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    loop {
        let mut is_over = true;
        for list in &mut lists {
            let next = list.find(|candidate| {
                !own.is(&candidate.address)
                    && is_dialable(&candidate.address)
                    && !seen.contains(&(candidate.address.clone(), candidate.peer))
            });
            let Some(candidate) = next else {
                continue;
            };
            if chosen.len() >= CANDIDATES_MAX {
                return chosen;
            }
            seen.insert((candidate.address.clone(), candidate.peer));
            chosen.push(candidate);
            is_over = false;
        }
        if is_over {
            return chosen;
        }
    }
}

fn configured(sources: &CandidateSources<'_>) -> Vec<Candidate> {
    let source = CandidateSource::Configured;
    let address = |address: &Address| Candidate { peer: None, address: address.clone(), source };
    sources.configured.iter().map(address).collect()
}

fn lan(sources: &CandidateSources<'_>) -> Vec<Candidate> {
    let source = CandidateSource::Lan;
    let claims = sources.lan.iter().flat_map(|found| {
        let claim = |address: &Address| (found.peer, address.clone());
        found.addresses.iter().map(claim)
    });
    claims.map(|(peer, address)| Candidate { peer: Some(peer), address, source }).collect()
}

fn tailscale(sources: &CandidateSources<'_>) -> Vec<Candidate> {
    let source = CandidateSource::Tailscale;
    let Some(status) = sources.tailscale.filter(|s| s.state == TailscaleState::Running) else {
        return Vec::new();
    };
    if sources.tailscale_port == 0 {
        return Vec::new();
    }
    let online = status.peers.iter().filter(|peer| peer.is_online);
    let ips = online.filter_map(|peer| best_ip(&peer.ips, &status.own.ips));
    let port = sources.tailscale_port;
    let addresses = ips.map(|ip| Address::from(SocketAddr::new(ip, port)));
    addresses.map(|address| Candidate { peer: None, address, source }).collect()
}

/// All addresses of a device lead to the same agent, so one is enough: the first of a family that this
/// machine has in the tailnet, too.
fn best_ip(ips: &[IpAddr], own: &[IpAddr]) -> Option<IpAddr> {
    let is_shared = |ip: &&IpAddr| own.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
    ips.iter().find(is_shared).or(ips.first()).copied()
}

/// Lets a list that is longer than its share start where the round before has stopped.
fn turned(mut list: Vec<Candidate>, round: usize) -> Vec<Candidate> {
    if list.len() > SHARE {
        let start = round.wrapping_mul(SHARE) % list.len();
        list.rotate_left(start);
    }
    list
}

/// Addresses that are no way to anybody, whoever named them.
fn is_dialable(address: &Address) -> bool {
    let Some(addr) = address.socket_addr() else {
        return true;
    };
    let ip = addr.ip().to_canonical();
    let is_broadcast = ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// What leads back to this node.
struct Own<'a> {
    addresses: &'a [Address],
    tailscale: Option<&'a TailscaleStatus>,
}

impl<'a> Own<'a> {
    fn new(sources: &CandidateSources<'a>) -> Self {
        Self { addresses: sources.own, tailscale: sources.tailscale }
    }

    fn is(&self, address: &Address) -> bool {
        self.addresses.contains(address)
            || (self.is_own_port(address.port()) && self.is_own_host(address))
    }

    fn is_own_port(&self, port: u16) -> bool {
        self.addresses.iter().any(|own| own.port() == port)
    }

    fn is_own_host(&self, address: &Address) -> bool {
        let node = self.tailscale.map(|status| &status.own);
        let Some(addr) = address.socket_addr() else {
            let host = address.host();
            let host = host.strip_suffix('.').unwrap_or(host);
            return host == "localhost" || node.is_some_and(|node| node.dns_name == host);
        };
        let ip = addr.ip().to_canonical();
        ip.is_loopback()
            || self.addresses.iter().any(|own| has_ip(own, ip))
            || node.is_some_and(|node| node.ips.contains(&ip))
    }
}

fn has_ip(address: &Address, ip: IpAddr) -> bool {
    address.socket_addr().is_some_and(|addr| addr.ip().to_canonical() == ip)
}

#[cfg(test)]
mod tests;
