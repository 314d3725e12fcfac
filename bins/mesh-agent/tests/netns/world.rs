//! A LAN with agents on it, and what can be seen of the ways between them.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_control::{MemberStatus, PeerView};
use mesh_testkit::netns::{Lan, LanMachine};
use tempfile::TempDir;

use crate::agent::{Agent, Extra, PATIENCE, eventually, linked};

/// The port of the mesh: every machine has its own.
const PORT: u16 = 13_500;

/// Declared before its agents, so that they end before their LAN does.
pub(crate) struct World {
    pub(crate) lan: Lan,
    dir: TempDir,
}

/// An agent with the machine that it runs on.
pub(crate) struct Located {
    agent: Agent,
    pub(crate) machine: LanMachine,
}

impl Deref for Located {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl DerefMut for Located {
    fn deref_mut(&mut self) -> &mut Agent {
        &mut self.agent
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self { lan: Lan::new().expect("needs root and iproute2"), dir: TempDir::new().unwrap() }
    }

    pub(crate) fn machine(&mut self) -> LanMachine {
        self.lan.add_machine().unwrap()
    }

    /// Starts an agent that listens on all addresses of its machine and advertises none.
    pub(crate) async fn start(&self, name: &str, machine: LanMachine, level: &str) -> Located {
        self.start_with(name, machine, &["--log-level", level]).await
    }

    /// The same with other arguments beside the usual ones.
    pub(crate) async fn start_with(
        &self,
        name: &str,
        machine: LanMachine,
        arguments: &[&str],
    ) -> Located {
        self.start_extra(name, machine, Extra::new(arguments)).await
    }

    /// The same with whatever else it is to have.
    pub(crate) async fn start_extra(
        &self,
        name: &str,
        machine: LanMachine,
        extra: Extra,
    ) -> Located {
        let namespace = Some(machine.namespace().to_owned());
        let extra = Extra { namespace, ..extra };
        let agent = Agent::start_at(self.dir.path(), name, PORT, extra).await;
        Located { agent, machine }
    }

    /// A folder that vanishes with this world.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the data directory of the agent called `name` is, or will be.
    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Members of one mesh on machines of their own, all linked with each other; the first one
    /// founded it.
    pub(crate) async fn mesh<const N: usize>(&mut self, names: [&str; N]) -> [Located; N] {
        self.mesh_with(names, "").await
    }

    /// The same with this in everybody's configuration file.
    pub(crate) async fn mesh_with<const N: usize>(
        &mut self,
        names: [&str; N],
        config: &str,
    ) -> [Located; N] {
        let file = self.dir.path().join("agent.toml");
        fs::write(&file, config).unwrap();
        let arguments = ["--log-level", "mesh_node=debug,info", "--config", file.to_str().unwrap()];
        let mut members: Vec<Located> = Vec::with_capacity(N);
        for name in names {
            let machine = self.machine();
            let member = self.start_with(name, machine, &arguments).await;
            if let Some(founder) = members.first() {
                member.join(&founder.token().await).await.unwrap();
            }
            members.push(member);
        }
        let agents: Vec<&Agent> = members.iter().map(|member| &member.agent).collect();
        linked(&agents).await;
        for one in &members {
            for other in members.iter().filter(|other| other.name() != one.name()) {
                direct(one, other.name(), PATIENCE).await;
            }
        }
        members.try_into().unwrap_or_else(|_| unreachable!("one per name"))
    }

    /// The same, in the order of their peer ids: of two members the one with the smaller id dials, so
    /// what happens to the one in the middle happens to both ends of a link.
    pub(crate) async fn mesh_in_order<const N: usize>(&mut self, names: [&str; N]) -> [Located; N] {
        let mut members = self.mesh(names).await;
        members.sort_by_key(|member| member.peer_id());
        members
    }

    /// Cuts both directions between two machines.
    pub(crate) fn part(&self, one: &LanMachine, other: &LanMachine) {
        self.lan.split(&[one], &[other]).unwrap();
    }
}

/// How `agent` sees the member called `name`.
pub(crate) async fn seen(agent: &Agent, name: &str) -> PeerView {
    let mut peers = agent.peers().await.into_iter();
    peers.find(|peer| peer.hostname == name).unwrap_or_else(|| panic!("{name} is no member"))
}

/// Whether `agent` reaches the member called `name` through exactly these others.
pub(crate) async fn reaches_through(agent: &Agent, name: &str, others: &[&str]) -> bool {
    seen(agent, name).await.via.is_some_and(|via| via == others)
}

/// Waits until `agent` has a link with the member called `name`; how long that took.
pub(crate) async fn direct(agent: &Agent, name: &str, deadline: Duration) -> Duration {
    let what = format!("{} reaches {name} directly", agent.name());
    measured(deadline, &what, async || reaches_through(agent, name, &[]).await).await
}

/// Waits until `agent` shows the member called `name` with `status`; how long that took.
pub(crate) async fn shown(
    agent: &Agent,
    name: &str,
    status: MemberStatus,
    deadline: Duration,
) -> Duration {
    let what = format!("{} shows {name} as {status:?}", agent.name());
    measured(deadline, &what, async || seen(agent, name).await.status == status).await
}

/// Waits until it `is_so`; how long that took.
pub(crate) async fn measured(
    deadline: Duration,
    what: &str,
    mut is_so: impl AsyncFnMut() -> bool,
) -> Duration {
    let started = now();
    eventually(deadline, what, async || is_so().await.then_some(())).await;
    started.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "what was promised in seconds is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A duration from the environment, for runs that are longer than those of every push.
pub(crate) fn seconds(variable: &str, usual: u64) -> Duration {
    let given = std::env::var(variable).ok().map(|text| text.parse().unwrap());
    Duration::from_secs(given.unwrap_or(usual))
}
