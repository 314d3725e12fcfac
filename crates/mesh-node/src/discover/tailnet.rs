//! What the Tailscale of this machine says, and which part of it the profile tells.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_discovery::{TailscaleState, TailscaleStatus, tailscale_status};
use mesh_membership::Member;

use crate::shared::{Shared, lock};

use super::Discovery;

/// Longest DNS name; a longer one from Tailscale is not passed on.
const NAME_BYTES_MAX: usize = 253;

/// This machine's place in its tailnet, as far as it may be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tailnet {
    pub(crate) ip: Option<String>,
    pub(crate) name: Option<String>,
}

impl Discovery {
    /// This machine's place in its tailnet. Until Tailscale was asked, what the profile says stands.
    pub(crate) fn tailnet(&self, member: Option<&Member>) -> Tailnet {
        let asked = lock(&self.tailnet).clone();
        asked.unwrap_or_else(|| {
            member.map_or_else(Tailnet::default, |member| Tailnet {
                ip: member.tailscale_ip.clone(),
                name: member.tailscale_hostname.clone(),
            })
        })
    }
}

impl Shared {
    /// Asks Tailscale, and publishes what it says about this machine.
    pub(super) async fn ask_tailscale(self: &Arc<Self>) -> Option<TailscaleStatus> {
        let config = self.config.discovery.tailscale.as_ref()?;
        let report = tailscale_status(config).await;
        let tailnet = match report.status() {
            Some(status) => self.own_tailnet(status),
            None if report.is_absent() => Tailnet::default(),
            // It may be busy; what it said before stands.
            None => return None,
        };
        let before = lock(&self.discovery.tailnet).replace(tailnet.clone());
        if before != Some(tailnet)
            && let Err(error) = self.refresh_profile(None).await
        {
            Self::log_failure("this node's profile cannot be renewed", &error);
        }
        report.answer.map(|answer| answer.status)
    }

    /// What may be published: an address at which this node is not dialled is none.
    fn own_tailnet(&self, status: &TailscaleStatus) -> Tailnet {
        if status.state != TailscaleState::Running {
            return Tailnet::default();
        }
        let is_open = |ip: &&IpAddr| {
            let mut listening = self.listening.iter().map(SocketAddr::ip);
            listening.any(|local| {
                local == **ip || (local.is_unspecified() && (local.is_ipv6() || ip.is_ipv4()))
            })
        };
        let Some(ip) = status.own.ips.iter().find(is_open) else { return Tailnet::default() };
        let name = Some(&status.own.dns_name)
            .filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)
            .cloned();
        Tailnet { ip: Some(ip.to_string()), name }
    }
}
