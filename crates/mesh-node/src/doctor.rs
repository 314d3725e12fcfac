//! Looks for faults: with what the running node knows, or before it could start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use mesh_control::{CheckView, DataState};
use mesh_discovery::{TailscaleError, TailscaleReport, TailscaleState};
use mesh_doctor::{
    Check, ClockAhead, ClockReading, DatabaseState, Finding, FirewallSources, LinkReading,
    PortState, PortUse, TablesReading, TablesTrouble, TailscaleFact, VersionReading, judge_clock,
    judge_database, judge_disk, judge_firewall, judge_links, judge_listening, judge_permissions,
    judge_ports, judge_tables, judge_tables_file, judge_tailscale, judge_versions, look_at_port,
    read_data_dir, read_firewall, read_space,
};
use mesh_store::Health;
use mesh_tables::Oddity;
use tokio::sync::oneshot;

use crate::builder::NodeBuilder;
use crate::clock;
use crate::config::{self, Config, DEFAULT_PORT};
use crate::data_dir;
use crate::error::chain;
use crate::link::LinkEntry;
use crate::shared::Shared;

/// How long a member may take to tell its clock.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Members that are asked at a time.
const PINGS_AT_ONCE: usize = 64;

/// How long the database is looked at. A large one is read from the disk at a few hundred megabytes a
/// second.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(20);

/// A finding as the local API shows it.
pub(crate) fn view(finding: Finding) -> CheckView {
    let Finding { check, ok, detail, hint } = finding;
    CheckView { check: check.as_str().to_owned(), ok, detail, hint }
}

impl NodeBuilder {
    /// Looks for what would keep a node with these settings from starting, and for what would hinder it.
    /// Nothing is started and nothing on disk is changed.
    ///
    /// Must be called within a Tokio runtime with time and IO enabled.
    pub async fn diagnose(self) -> Vec<Finding> {
        let config = self.into_config();
        let uses = match config.listen.as_slice() {
            [] => vec![look_at_default_port()],
            chosen => chosen.iter().copied().map(look_at_port).collect(),
        };
        let wanted: Vec<SocketAddr> = uses.iter().map(|port| port.address).collect();
        let path = data_dir::database_in(&config.data_dir);
        let tables = data_dir::tables_in(&config.data_dir);
        let (firewall, tailscale, database, tables) = tokio::join!(
            firewall(&wanted),
            tailscale(&config),
            mesh_store::examine(&path),
            tables_file(&tables),
        );
        vec![
            judge_ports(&uses),
            firewall,
            tailscale,
            disk(&config),
            permissions(&config),
            judge_health(&config, database),
            tables,
        ]
    }
}

impl Shared {
    /// Looks for faults of this node and its machine.
    pub(crate) async fn examine(self: &Arc<Self>) -> Vec<Finding> {
        let (firewall, tailscale, clock, database, tables) = tokio::join!(
            firewall(&self.listening),
            tailscale(&self.config),
            self.examine_clock(),
            tokio::time::timeout(DATABASE_TIMEOUT, self.store.quick_check()),
            self.examine_tables(),
        );
        let database = match database {
            Ok(checked) => judge_health(&self.config, checked),
            Err(_) => Finding::good(
                Check::Database,
                format!("nothing was found within {} s of looking", DATABASE_TIMEOUT.as_secs()),
            ),
        };
        vec![
            self.examine_membership(),
            judge_listening(&self.listening),
            firewall,
            tailscale,
            clock,
            disk(&self.config),
            permissions(&self.config),
            database,
            tables,
            self.examine_versions(),
            self.examine_links(),
        ]
    }

    fn examine_membership(&self) -> Finding {
        if self.view().is_removed() {
            return Finding::failed(
                Check::Agent,
                "this agent was removed from its mesh",
                "ask a member for a join token and run `mesh-ctl join TOKEN`",
            );
        }
        let version = env!("CARGO_PKG_VERSION");
        let process = std::process::id();
        Finding::good(Check::Agent, format!("version {version} runs as process {process}"))
    }

    /// Asks every linked member for its clock.
    async fn examine_clock(&self) -> Finding {
        let view = self.view();
        let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
        let readings = stream::iter(links).map(async |entry| {
            let offset_ms = clock_offset(&entry).await?;
            Some(ClockReading { hostname: view.label(&entry.peer), offset_ms })
        });
        let readings: Vec<Option<ClockReading>> =
            readings.buffer_unordered(PINGS_AT_ONCE).collect().await;
        judge_clock(&readings.into_iter().flatten().collect::<Vec<ClockReading>>())
    }

    /// What SQLite finds damaged it says when it is read: no page is looked at for this.
    async fn examine_tables(&self) -> Finding {
        let replication = &self.replication;
        let now = clock::now().wall;
        let stats = match replication.tables.stats(now).await {
            Ok(stats) => stats,
            Err(error) => {
                let trouble = Some((TablesTrouble::Other, chain(&error)));
                return judge_tables(&TablesReading { trouble, ..TablesReading::default() });
            }
        };
        // Whoever cannot write it finds nothing new in it, and is in trouble anyway.
        let oddities = replication.tables.notice(now).await.map(|noticed| noticed.oddities);
        let ahead = stats.parked_ahead.iter().map(|skewed| ClockAhead {
            hostname: self.origin_name(&skewed.origin, skewed.member),
            ahead: Duration::from_millis(skewed.ahead_millis),
        });
        judge_tables(&TablesReading {
            trouble: replication
                .trouble()
                .and_then(|found| trouble(found.state).map(|trouble| (trouble, found.detail))),
            tables: stats.tables,
            aside: stats.tables_aside,
            parked: stats.parked,
            ahead: ahead.collect(),
            oddities: oddities.unwrap_or_default().iter().map(Oddity::to_string).collect(),
            unsent: stats.unsent,
            wal_bytes: stats.wal_bytes,
        })
    }

    fn examine_versions(&self) -> Finding {
        let view = self.view();
        // A member without a profile has not said what it speaks.
        let known = view.others().filter(|member| member.revision > 0);
        let readings = known.map(|member| VersionReading {
            hostname: member.hostname.to_string(),
            program: member.agent_version.clone(),
            versions: member.versions,
        });
        judge_versions(&readings.collect::<Vec<VersionReading>>())
    }

    fn examine_links(&self) -> Finding {
        let view = self.view();
        let readings = view.others().map(|member| LinkReading {
            hostname: member.hostname.to_string(),
            state: self.peer_state(&member.peer_id).as_str(),
            via: self.peer_via(&member.peer_id),
        });
        judge_links(&readings.collect::<Vec<LinkReading>>())
    }
}

/// Where an agent listens that was not told where: a machine without IPv6 has IPv4 alone.
fn look_at_default_port() -> PortUse {
    let [both, v4] = config::default_listen();
    let found = look_at_port(both);
    match found.state {
        PortState::NoSuchAddress | PortState::Refused(_) => look_at_port(v4),
        PortState::Free | PortState::Taken(_) | PortState::Forbidden => found,
    }
}

/// The peer's clock minus this one's, milliseconds; none when it does not answer.
async fn clock_offset(entry: &LinkEntry) -> Option<i64> {
    let (answer, pong) = oneshot::channel();
    let started = clock::now().wall;
    entry.ping(Some(answer)).ok()?;
    let pong = tokio::time::timeout(PING_TIMEOUT, pong).await.ok()?.ok()?;
    let midway = started.plus(pong.rtt / 2);
    let offset = i128::from(pong.peer_clock.0) - i128::from(midway.0);
    i64::try_from(offset).ok()
}

async fn firewall(listening: &[SocketAddr]) -> Finding {
    if !listening.is_empty() && listening.iter().all(|local| local.ip().is_loopback()) {
        let detail = "not looked at: the agent listens for this machine alone";
        return Finding::good(Check::Firewall, detail);
    }
    let port = listening.first().map_or(DEFAULT_PORT, SocketAddr::port);
    judge_firewall(&read_firewall(&FirewallSources::default()).await, port)
}

fn disk(config: &Config) -> Finding {
    judge_disk(&config.data_dir, &read_space(&config.data_dir))
}

fn permissions(config: &Config) -> Finding {
    judge_permissions(&config.data_dir, &read_data_dir(&config.data_dir))
}

fn judge_health(config: &Config, health: Result<Health, mesh_store::StoreError>) -> Finding {
    let state = match health {
        Ok(Health::Sound) => DatabaseState::Sound,
        Ok(Health::Absent) => DatabaseState::Absent,
        Ok(Health::Newer { theirs, ours }) => DatabaseState::Newer { theirs, ours },
        Ok(Health::Damaged { detail }) => DatabaseState::Damaged { detail },
        Err(error) => DatabaseState::Unreadable { why: chain(&error) },
    };
    judge_database(&data_dir::database_in(&config.data_dir), &state)
}

const fn trouble(state: DataState) -> Option<TablesTrouble> {
    match state {
        DataState::Ok | DataState::Snapshot => None,
        DataState::DiskFull => Some(TablesTrouble::Full),
        DataState::ReadOnly => Some(TablesTrouble::ReadOnly),
        DataState::Locked => Some(TablesTrouble::Locked),
        DataState::Failed => Some(TablesTrouble::Other),
    }
}

async fn tables_file(path: &Path) -> Finding {
    use mesh_tables::Health;
    let examined = tokio::time::timeout(DATABASE_TIMEOUT, mesh_tables::examine(path)).await;
    let state = match examined {
        Ok(Ok(Health::Sound)) => DatabaseState::Sound,
        Ok(Ok(Health::Absent)) => DatabaseState::Absent,
        Ok(Ok(Health::Newer { theirs, ours })) => DatabaseState::Newer { theirs, ours },
        Ok(Ok(Health::Damaged { detail })) => DatabaseState::Damaged { detail },
        Ok(Err(error)) => DatabaseState::Unreadable { why: chain(&error) },
        Err(_) => {
            let seconds = DATABASE_TIMEOUT.as_secs();
            let detail =
                format!("in {} nothing was found within {seconds} s of looking", path.display());
            return Finding::good(Check::Tables, detail);
        }
    };
    judge_tables_file(path, &state)
}

async fn tailscale(config: &Config) -> Finding {
    let fact = match &config.discovery.tailscale {
        Some(tailscale) => tailscale_fact(&mesh_discovery::tailscale_status(tailscale).await),
        None => TailscaleFact::NotAsked,
    };
    judge_tailscale(&fact)
}

fn tailscale_fact(report: &TailscaleReport) -> TailscaleFact {
    if let Some(status) = report.status() {
        return match &status.state {
            TailscaleState::NeedsLogin => TailscaleFact::LoggedOut,
            TailscaleState::NeedsMachineAuth => TailscaleFact::NeedsMachineAuth,
            TailscaleState::Stopped => TailscaleFact::Stopped,
            TailscaleState::NoState | TailscaleState::Starting => TailscaleFact::Starting,
            TailscaleState::Running => TailscaleFact::Running {
                name: status.own.dns_name.clone(),
                online: status.peers.iter().filter(|peer| peer.is_online).count(),
            },
            TailscaleState::Other(state) => TailscaleFact::Other { state: state.clone() },
        };
    }
    if report.is_absent() {
        return TailscaleFact::Absent;
    }
    let tried = report.failures.iter();
    let told = tried.filter(|failure| !matches!(failure.reason, TailscaleError::Absent));
    let why: Vec<String> =
        told.map(|failure| format!("{}: {}", failure.way, chain(&failure.reason))).collect();
    TailscaleFact::Silent { why: why.join("; ") }
}
