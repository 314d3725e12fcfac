//! What a node can be told. Everything has a default.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use mesh_delivery::{DeliveryConfig, HandoverConfig};
use mesh_membership::{LinkConfig, LivenessConfig};
use mesh_protocol::{Address, Hostname};
use mesh_store::StoreConfig;
use mesh_sync::ExchangeConfig;
use mesh_tables::TablesConfig;
use mesh_transport::TransportConfig;

use crate::discover::DiscoveryConfig;
use crate::git::RepositorySettings;
use crate::pushes::PushSettings;
use crate::shared_config::SharedConfigSettings;

/// The port of the mesh.
pub const DEFAULT_PORT: u16 = 13_500;

/// How long a join token lives when nobody says otherwise: 24 hours.
pub(crate) const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// How long a message lives when nobody says otherwise: 7 days.
pub(crate) const MESSAGE_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long messages to a former hostname still arrive: a day.
pub(crate) const FORMER_HOSTNAME_TTL: Duration = Duration::from_secs(24 * 3600);

/// Age at which a link renews the pair's secret.
pub(crate) const PAIR_KEY_AGE_MAX: Duration = Duration::from_secs(3600);

/// Age at which a link is replaced by a new one: a secret of the pair comes from a link's start, and a
/// link may stay up for months.
pub(crate) const LINK_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long an old secret of a pair opens messages that are under way: a week.
pub(crate) const PAIR_KEY_GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Age at which this node takes a new sealing key: a week.
pub(crate) const SEALING_KEY_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an old sealing key opens messages: the longest lifetime of a message.
pub(crate) const SEALING_KEY_GRACE: Duration =
    Duration::from_millis(mesh_protocol::MESSAGE_TTL_MILLIS_MAX);

/// Settings of a node, checked by [`NodeBuilder::start`](crate::NodeBuilder::start).
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) hostname: Option<Hostname>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) advertise: Vec<Address>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) remove_quorum: NonZeroU8,
    pub(crate) delivery: DeliveryConfig,
    pub(crate) links: LinkConfig,
    pub(crate) liveness: LivenessConfig,
    pub(crate) handover: HandoverConfig,
    pub(crate) store: StoreConfig,
    pub(crate) tables: TablesConfig,
    pub(crate) exchange: ExchangeConfig,
    pub(crate) transport: TransportConfig,
    pub(crate) discovery: DiscoveryConfig,
    pub(crate) shared_config: SharedConfigSettings,
    pub(crate) pushes: PushSettings,
    pub(crate) repositories: Vec<RepositorySettings>,
}

impl Config {
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            hostname: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            socket: None,
            metrics: None,
            remove_quorum: NonZeroU8::MIN,
            delivery: DeliveryConfig::default(),
            links: LinkConfig::default(),
            liveness: LivenessConfig::default(),
            handover: HandoverConfig::default(),
            store: StoreConfig::default(),
            tables: TablesConfig::default(),
            exchange: ExchangeConfig::default(),
            transport: TransportConfig::default(),
            discovery: DiscoveryConfig::default(),
            shared_config: SharedConfigSettings::default(),
            pushes: PushSettings::default(),
            repositories: Vec::new(),
        }
    }
}

/// All addresses of both families; the second where the first is not to be had (no IPv6).
pub(crate) fn default_listen() -> [SocketAddr; 2] {
    [
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT),
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DEFAULT_PORT),
    ]
}

/// The machine's name as a hostname: what does not fit is replaced, an empty rest becomes `agent`.
pub(crate) fn machine_hostname() -> Hostname {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let label = name.split('.').next().unwrap_or_default();
    let fitted: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' })
        .take(mesh_protocol::HOSTNAME_BYTES_MAX)
        .collect();
    let trimmed = fitted.trim_matches(['-', '_']);
    trimmed.parse().unwrap_or_else(|_| fallback_hostname())
}

#[expect(
    clippy::expect_used,
    reason = "the literal is a hostname, as the test of this module shows"
)]
fn fallback_hostname() -> Hostname {
    "agent".parse().expect("a literal hostname")
}

/// Where this node can be dialled: what was advertised, else every address of the machine that
/// others could reach, else loopback (a mesh on one machine).
pub(crate) fn addresses(advertise: &[Address], listening: &[SocketAddr]) -> Vec<Address> {
    let mut found: Vec<Address> = advertise.to_vec();
    if found.is_empty() {
        for local in listening {
            if local.ip().is_unspecified() {
                let both = local.is_ipv6();
                found.extend(
                    interface_ips()
                        .into_iter()
                        .filter(|ip| both || ip.is_ipv4())
                        .map(|ip| SocketAddr::new(ip, local.port()).into()),
                );
            } else {
                found.push((*local).into());
            }
        }
    }
    if found.is_empty() {
        found.extend(
            listening
                .iter()
                .map(|local| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), local.port()).into()),
        );
    }
    found.truncate(mesh_protocol::ADDRESSES_MAX);
    found
}

/// Addresses of the machine's interfaces without loopback and link-local ones.
pub(crate) fn interface_ips() -> Vec<std::net::IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_hostname_and_the_fallback_is_one() {
        assert!(!machine_hostname().as_str().is_empty());
        assert_eq!(fallback_hostname().as_str(), "agent");
    }

    #[test]
    fn an_advertised_address_replaces_what_the_machine_has() {
        let advertised: Address = "198.51.100.7:13500".parse().unwrap();
        let listening = default_listen();
        assert_eq!(addresses(std::slice::from_ref(&advertised), &listening), vec![advertised]);
    }

    #[test]
    fn a_node_that_listens_on_one_address_is_dialled_there() {
        let listening: SocketAddr = "127.0.0.1:4242".parse().unwrap();
        assert_eq!(addresses(&[], &[listening]), vec![Address::from(listening)]);
    }
}
