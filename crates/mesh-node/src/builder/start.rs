//! From settings to a running node, and from there to its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mesh_control::{ControlServer, MetricsServer};
use mesh_delivery::{DeliveryConfig, Handover, Outbound, Topology, TopologyConfig};
use mesh_membership::{LinkPlanner, Liveness, Membership, SwimConfig};
use mesh_protocol::{Hostname, PeerId};
use mesh_store::Store;
use mesh_sync::Exchange;
use mesh_transport::{Gatekeeper, Incoming, ListenError, Listening, Transport};
use tokio::sync::{Notify, watch};

use super::restore::{restore_keys, restore_last_seen, restore_membership, restore_outbox};
use crate::backup;
use crate::bodies::Bodies;
use crate::clock;
use crate::config::{self, Config};
use crate::core::{Core, Engines, LargeConfig};
use crate::data_dir::DataDir;
use crate::discover::Discovery;
use crate::error::{StartError, chain};
use crate::events::Events;
use crate::git::GitDesk;
use crate::keyring::Keyring;
use crate::metrics::CommitTimes;
use crate::node::Node;
use crate::parcels::RECEIPT_WAIT;
use crate::pushes::Pushes;
use crate::shared::{Shared, lock};
use crate::shared_config::SharedConfig;
use crate::subscribe::LiveSubscribers;
use crate::tables::Replication;
use crate::tasks::Tasks;
use crate::unstored::MembershipGate;
use crate::view::View;

pub(super) async fn start(config: Config, tasks: Tasks) -> Result<Arc<Shared>, StartError> {
    let started_at = clock::now().instant;
    let data_dir = DataDir::open(&config.data_dir)?;
    backup::sweep(data_dir.path());
    let mut keyring = Keyring::new(data_dir.keys()?);
    let me = keyring.node_key().peer_id();
    let path = data_dir.database();
    let (store, replication) = open_databases(&data_dir, &config, &tasks).await?;
    restore_keys(&store, &mut keyring, &path).await?;
    let membership = restore_membership(&store, &keyring, &path, config.remove_quorum).await?;
    let view = Arc::new(RwLock::new(Arc::new(View::new(me, &membership))));
    let doorkeeper = Doorkeeper { me, view: Arc::clone(&view) };
    let transport = Transport::new(
        keyring.node_key(),
        Arc::new(doorkeeper),
        config.transport.clone(),
        tasks.tracker().clone(),
        tasks.shutdown().clone(),
    )
    .map_err(|source| StartError::Listen {
        address: String::from("any address"),
        source: Box::new(source),
    })?;
    let listeners = listen(&transport, &config.listen).await?;
    let listening: Vec<SocketAddr> = listeners.iter().map(Listening::local_addr).collect();
    let last_seen = restore_last_seen(&store, &path).await?;
    let engines = engines(me, membership, &config);
    let ((links_changed, _), (inbox_head, _)) = (watch::channel(0), watch::channel(0));
    let shared = Arc::new(Shared {
        me,
        started_at,
        listening,
        store,
        transport,
        events: Events::new(),
        keyring: Mutex::new(keyring),
        view,
        core: Mutex::new(Core::new(me, engines, last_seen)),
        deadline_moved: Notify::new(),
        links: Mutex::new(BTreeMap::new()),
        links_changed,
        next_id: AtomicU64::new(1),
        bodies: Mutex::new(Bodies::default()),
        waiters: Mutex::new(BTreeMap::new()),
        commit_times: CommitTimes::default(),
        routed_pings: Mutex::new(BTreeMap::new()),
        inbox_head,
        live: LiveSubscribers::default(),
        discovery: Discovery::default(),
        replication,
        shared_config: SharedConfig::new(&config.shared_config, data_dir.path()),
        pushes: Pushes::new(&config.pushes, data_dir.path()),
        git: GitDesk::new(&config.repositories),
        membership_gate: MembershipGate::default(),
        admission_gate: tokio::sync::Mutex::new(()),
        tasks,
        config,
        data_dir,
    });
    run(&shared, listeners, &path).await?;
    Ok(shared)
}

/// Opens both databases. A newer program's is refused before the other one is brought to this program's schema:
/// an older program changes neither of them.
async fn open_databases(
    data_dir: &DataDir,
    config: &Config,
    tasks: &Tasks,
) -> Result<(Store, Replication), StartError> {
    let (path, tables) = (data_dir.database(), data_dir.tables());
    mesh_tables::refuse_newer(&tables)
        .await
        .map_err(|source| StartError::Store { path: tables.clone(), source: Box::new(source) })?;
    let mut store_config = config.store.clone();
    store_config.stream_seed = clock::random_u64();
    let store = Store::open(&path, store_config, tasks.tracker())
        .await
        .map_err(|source| StartError::Store { path, source: Box::new(source) })?;
    let replication = Replication::open(&tables, config.tables.clone(), tasks)
        .await
        .map_err(|source| StartError::Store { path: tables, source: Box::new(source) })?;
    Ok((store, replication))
}

/// Everything that needs the shared state to exist: profile, outbox, tasks, control socket.
async fn run(
    shared: &Arc<Shared>,
    listeners: Vec<Listening>,
    path: &Path,
) -> Result<(), StartError> {
    let broken = |why: String| StartError::Store { path: path.to_owned(), source: why.into() };
    let control = match &shared.config.socket {
        None => None,
        Some(socket) => Some(ControlServer::bind(socket).await.map_err(|source| {
            StartError::Socket { path: socket.clone(), source: Box::new(source) }
        })?),
    };
    let metrics = match shared.config.metrics {
        None => None,
        Some(address) => Some(MetricsServer::bind(address).await.map_err(|source| {
            StartError::Listen { address: address.to_string(), source: Box::new(source) }
        })?),
    };
    shared.renew_sealing_key().await.map_err(|error| broken(chain(&error)))?;
    let _is_new = shared.refresh_profile(None).await.map_err(|error| broken(chain(&error)))?;
    shared.sync_peer_rows().await.map_err(|error| broken(chain(&error)))?;
    let strangers: Vec<PeerId> = {
        let (view, keyring) = (shared.view(), shared.keyring());
        keyring.paired_peers().into_iter().filter(|peer| !view.verdict.is_member(peer)).collect()
    };
    shared.forget_pair_keys_of(&strangers).await;
    shared.drive(|core, now| core.follow_verdict(now));
    restore_outbox(shared)
        .await
        .map_err(|source| StartError::Store { path: path.to_owned(), source: Box::new(source) })?;
    // Before anybody can offer one of them again: it would have two tasks.
    shared.start_pushes().await.map_err(|error| broken(chain(&error)))?;
    for listener in listeners {
        let accepting = Arc::clone(shared);
        shared.tasks.spawn(async move { accepting.accept(listener).await });
    }
    let deadlines = Arc::clone(shared);
    shared.tasks.spawn(async move { deadlines.drive_deadlines().await });
    let last_seen = Arc::clone(shared);
    shared.tasks.spawn(async move { last_seen.keep_last_seen().await });
    let maintenance = Arc::clone(shared);
    shared.tasks.spawn(async move { maintenance.maintain().await });
    let syncing = Arc::clone(shared);
    shared.tasks.spawn(async move { syncing.keep_in_step().await });
    if let Some(metrics) = metrics {
        shared.serve_metrics(metrics);
    }
    shared.start_discovery();
    shared.start_replication();
    let built_in = shared.replication.tables.make_built_in(clock::now().wall).await;
    shared.note_tables(&built_in);
    built_in.map_err(|error| broken(chain(&error)))?;
    shared.start_shared_config().await.map_err(|error| broken(chain(&error)))?;
    if let Some(control) = control {
        let node = Node::new(Arc::clone(shared));
        let (tracker, shutdown) = (shared.tasks.tracker().clone(), shared.tasks.shutdown().clone());
        shared.tasks.spawn(async move { control.run(node, &tracker, shutdown).await });
    }
    let now = clock::now().wall;
    shared.events.emit(
        now,
        "agent_started",
        serde_json::json!({ "peer_id": shared.me, "version": env!("CARGO_PKG_VERSION") }),
    );
    Ok(())
}

fn engines(me: PeerId, membership: Membership, config: &Config) -> Engines {
    // Every start is a later incarnation than the one before, as long as the clock does not go back; if
    // it does, the topology learns from the others which number it must exceed.
    let incarnation = clock::now().wall.0;
    let topology = TopologyConfig::default();
    let held = DeliveryConfig { answer_timeout: RECEIPT_WAIT, ..config.delivery.clone() };
    Engines {
        topology: Topology::new(me, membership.mesh_id(), incarnation, topology),
        exchange: Exchange::new(
            me,
            config.exchange.clone(),
            clock::random_u64(),
            clock::now().wall,
        ),
        membership,
        outbound: Outbound::new(config.delivery.clone(), clock::random_u64()),
        held: Outbound::new(held, clock::random_u64()),
        handover: Handover::new(config.handover.clone()),
        planner: LinkPlanner::new(me, config.links.clone(), clock::random_u64()),
        liveness: Liveness::new(me, config.liveness.clone(), clock::random_u64()),
        large: LargeConfig {
            links: config.links.clone(),
            swim: SwimConfig::default(),
            inactive_after: config.liveness.inactive_after,
            incarnation,
            seed: clock::random_u64(),
        },
    }
}

async fn listen(
    transport: &Transport,
    wanted: &[SocketAddr],
) -> Result<Vec<Listening>, StartError> {
    let failed = |address: SocketAddr| {
        move |source: ListenError| StartError::Listen {
            address: address.to_string(),
            source: Box::new(source),
        }
    };
    if wanted.is_empty() {
        let [both, v4] = config::default_listen();
        return match transport.listen(both).await {
            Ok(listening) => Ok(vec![listening]),
            // A machine without IPv6 has IPv4 alone.
            Err(ListenError::AddressUnavailable { .. } | ListenError::Io { .. }) => {
                Ok(vec![transport.listen(v4).await.map_err(failed(v4))?])
            }
            Err(error @ (ListenError::PortTaken { .. } | ListenError::Forbidden { .. })) => {
                Err(failed(both)(error))
            }
        };
    }
    let mut listeners = Vec::with_capacity(wanted.len());
    for address in wanted {
        listeners.push(transport.listen(*address).await.map_err(failed(*address))?);
    }
    Ok(listeners)
}

impl Shared {
    /// The name for a mesh that does not know this node yet.
    pub(crate) fn configured_hostname(&self) -> Hostname {
        self.config.hostname.clone().unwrap_or_else(config::machine_hostname)
    }

    async fn accept(self: Arc<Self>, mut listening: Listening) {
        while let Some(incoming) = listening.next().await {
            let shared = Arc::clone(&self);
            match incoming {
                Incoming::Link(pending) => {
                    self.tasks.spawn(async move { shared.accept_link(pending).await });
                }
                Incoming::Join(call) => {
                    self.tasks.spawn(async move { shared.answer_join_call(call).await });
                }
            }
        }
    }

    /// Stops everything in order: no new work, links closed, what is promised written, tasks ended.
    pub(crate) async fn stop(&self) {
        for entry in lock(&self.links).values() {
            entry.close();
        }
        self.tasks.cancel();
        self.tasks.wait_for_handlers().await;
        if let Err(error) = self.store.close().await {
            Self::log_failure("the database did not close cleanly", &error);
        }
        self.replication.tables.close();
        self.tasks.wait().await;
        // Another node may start here from now on, even while handles of this one are kept.
        self.data_dir.release();
    }
}

/// Asks the latest membership whether a TLS key belongs to a member.
struct Doorkeeper {
    me: PeerId,
    view: Arc<RwLock<Arc<View>>>,
}

impl Gatekeeper for Doorkeeper {
    fn is_member(&self, peer: &PeerId) -> bool {
        let view = Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner));
        *peer != self.me && !view.is_removed() && view.verdict.is_member(peer)
    }
}
