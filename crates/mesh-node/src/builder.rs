//! Settings of a node that is about to start. What a start does is in `start.rs`, what it reads in `restore.rs`.

mod restore;
mod start;

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;

use mesh_delivery::DeliveryConfig;
use mesh_membership::LivenessConfig;
use mesh_protocol::{Address, Hostname};

use self::start::start;
use crate::config::Config;
use crate::discover::DiscoveryConfig;
use crate::error::StartError;
use crate::git::RepositorySettings;
use crate::node::Node;
use crate::pushes::PushSettings;
use crate::shared_config::SharedConfigSettings;
use crate::tasks::Tasks;

/// Settings of a node that is about to start. Everything has a default.
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    config: Config,
}

impl NodeBuilder {
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self { config: Config::new(data_dir) }
    }

    /// The name at the first start; later the mesh knows the name, and `rename` changes it.
    #[must_use]
    pub fn hostname(mut self, hostname: Hostname) -> Self {
        self.config.hostname = Some(hostname);
        self
    }

    /// Listens here instead of on port 13500 of all addresses. Repeatable; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen.push(address);
        self
    }

    /// Tells the members to dial this address instead of those of the machine. Repeatable.
    #[must_use]
    pub fn advertise(mut self, address: Address) -> Self {
        self.config.advertise.push(address);
        self
    }

    /// Serves the local admin API on this Unix socket; without it there is none.
    #[must_use]
    pub fn control_socket(mut self, path: PathBuf) -> Self {
        self.config.socket = Some(path);
        self
    }

    /// Bounds and times of the outbox.
    #[must_use]
    pub fn delivery(mut self, delivery: DeliveryConfig) -> Self {
        self.config.delivery = delivery;
        self
    }

    /// Bounds of the inbox and the database.
    #[must_use]
    pub fn store(mut self, store: mesh_store::StoreConfig) -> Self {
        self.config.store = store;
        self
    }

    /// Bounds of the replicated tables.
    #[must_use]
    pub fn tables(mut self, tables: mesh_tables::TablesConfig) -> Self {
        self.config.tables = tables;
        self
    }

    /// Times of the exchange of changes.
    #[must_use]
    pub fn exchange(mut self, exchange: mesh_sync::ExchangeConfig) -> Self {
        self.config.exchange = exchange;
        self
    }

    /// Times of dialling and heartbeats.
    #[must_use]
    pub fn links(mut self, links: mesh_membership::LinkConfig) -> Self {
        self.config.links = links;
        self
    }

    /// Times of suspicion, and when a member that stays away is removed.
    #[must_use]
    pub fn liveness(mut self, liveness: LivenessConfig) -> Self {
        self.config.liveness = liveness;
        self
    }

    /// How many members have to ask for a removal before it is one, in the mesh that this node founds at
    /// its first start. A mesh keeps what it was founded with; one unless this is called.
    #[must_use]
    pub fn remove_quorum(mut self, members: NonZeroU8) -> Self {
        self.config.remove_quorum = members;
        self
    }

    /// Shows figures in Prometheus' format on this loopback address; without it there are none.
    #[must_use]
    pub fn metrics(mut self, address: SocketAddr) -> Self {
        self.config.metrics = Some(address);
        self
    }

    pub(crate) fn into_config(self) -> Config {
        self.config
    }

    /// Files that show the shared configuration, and keys of this machine alone.
    #[must_use]
    pub fn shared_config(mut self, settings: SharedConfigSettings) -> Self {
        self.config.shared_config = settings;
        self
    }

    /// Folders that others may push into, and bounds of pushes.
    #[must_use]
    pub fn pushes(mut self, settings: PushSettings) -> Self {
        self.config.pushes = settings;
        self
    }

    /// Repositories that others may fetch from and push to with git. Nobody else's commands run there.
    #[must_use]
    pub fn repositories(mut self, repositories: Vec<RepositorySettings>) -> Self {
        self.config.repositories = repositories;
        self
    }

    /// Where members are looked for that cannot be reached at the addresses in their profiles.
    #[must_use]
    pub fn discovery(mut self, discovery: DiscoveryConfig) -> Self {
        self.config.discovery = discovery;
        self
    }

    /// Starts the node: it listens, serves and links when this returns.
    ///
    /// Must be called within a Tokio runtime with time and IO enabled.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Node, StartError> {
        let tasks = Tasks::default();
        match start(self.config, tasks.clone()).await {
            Ok(shared) => Ok(Node::new(shared)),
            Err(error) => {
                tasks.cancel();
                tasks.wait().await;
                Err(error)
            }
        }
    }
}
