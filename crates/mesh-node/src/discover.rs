//! Finding members at addresses that no profile names: those that the operator configured, devices of
//! the tailnet, agents that announce themselves on the LAN.
//!
//! A round asks the sources and tries what they name, over a handshake in which the other side proves
//! first that it is a member. Nothing else is ever contacted, and nothing at all while every member
//! that this node wants a link with has one.

mod book;
mod lan;
mod settings;
mod tailnet;
mod watch;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use mesh_discovery::{
    Candidate, CandidateSource, CandidateSources, LanFound, TailscaleStatus, candidates,
};
use mesh_membership::{LinkInput, neighbours};
use mesh_protocol::{Address, NEIGHBOURS_MAX, PeerId};
use mesh_transport::DialError;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::error::chain;
use crate::node::Node;
use crate::shared::{Shared, lock};

use self::book::{Learned, Strangers};

pub use self::settings::{DiscoveryConfig, DiscoveryReport};
pub(crate) use self::tailnet::Tailnet;

/// Most dials of a round that are under way at once.
const DIALS_AT_ONCE: usize = 8;

/// How long whoever is at an address may take to prove that it is a member.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Ordinary dials go first: after a start or a change of the network they reach most members, and two
/// links of one pair would only have to be sorted out.
const HEAD_START: Duration = Duration::from_secs(1);

/// Least rest between rounds, however often the LAN has news.
const REST: Duration = Duration::from_secs(2);

/// Pause after a round that follows a start or a change of the network. It doubles with each further
/// round, because whoever moved at the same time needs a moment to be there.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What discovery remembers. Nothing of it outlives the process.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// One round at a time.
    rounds: tokio::sync::Mutex<Rounds>,
    learned: Mutex<Learned>,
    /// Agents on the LAN at the moment.
    lan: Mutex<Vec<LanFound>>,
    /// None until Tailscale was asked.
    tailnet: Mutex<Option<Tailnet>>,
    /// A round is due before its time.
    due: Notify,
    /// The machine or its network is another one, so the pauses start anew.
    changed: Notify,
    /// The same, for LAN multicast: what it joined may be gone.
    lan_changed: Notify,
}

#[derive(Debug, Default)]
struct Rounds {
    number: usize,
    strangers: Strangers,
    /// Members when strangers were noted: a new one may have been taken for a stranger.
    members: BTreeSet<PeerId>,
}

impl Discovery {
    /// Where a member may be: where it was found last, then what its profile says.
    pub(crate) fn addresses_of(&self, peer: &PeerId, profile: &[Address]) -> Vec<Address> {
        let mut addresses = lock(&self.learned).addresses(peer);
        for address in profile {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }
}

impl Node {
    /// Looks for members that are not linked, at once: at configured addresses, on the tailnet and on
    /// the LAN. The same happens by itself at the start, on a change of the network and every minute.
    pub async fn discover(&self) -> DiscoveryReport {
        self.shared.discover_now().await
    }
}

impl Shared {
    /// Starts what looks for members, now and later.
    pub(crate) fn start_discovery(self: &Arc<Self>) {
        let (rounds, lan, watch) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        self.tasks.spawn(async move { rounds.discover().await });
        self.tasks.spawn(async move { lan.discover_on_lan().await });
        self.tasks.spawn(async move { watch.watch_machine().await });
    }

    async fn discover(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        loop {
            sleep(HEAD_START).await;
            let report = self.discover_now().await;
            let (contacted, found) = (report.contacted.len(), report.found.len());
            tracing::debug!(contacted, found, "looked for members");
            sleep(REST).await;
            tokio::select! {
                () = self.discovery.changed.notified() => pause = PAUSE_MIN,
                () = self.discovery.due.notified() => {}
                () = sleep(pause) => pause = PAUSE_MAX.min(pause * 2),
            }
        }
    }

    /// One round: asks the sources, and tries what they name while a member is missing.
    pub(crate) async fn discover_now(self: &Arc<Self>) -> DiscoveryReport {
        let mut rounds = self.discovery.rounds.lock().await;
        let tailscale = self.ask_tailscale().await;
        let missing = self.missing();
        if missing.is_empty() {
            return DiscoveryReport::default();
        }
        rounds.number = rounds.number.wrapping_add(1);
        self.forget_former(&mut rounds);
        let chosen = self.choose(&rounds, tailscale.as_ref(), &missing);
        let tried = stream::iter(chosen)
            .map(|address| async {
                self.try_address(&address, &missing).await.map(|to| (address, to))
            })
            .buffer_unordered(DIALS_AT_ONCE)
            .filter_map(std::future::ready);
        let mut tried = std::pin::pin!(tried);
        let mut report = DiscoveryReport::default();
        while let Some((address, tried)) = tried.next().await {
            match tried {
                Tried::Linked(peer) => report.found.push(peer),
                Tried::Stranger => rounds.strangers.note(address.clone(), clock::now().instant),
                Tried::Nothing => {}
            }
            report.contacted.push(address);
        }
        report
    }

    /// Members that this node wants a link with and has none.
    pub(crate) fn missing(&self) -> BTreeSet<PeerId> {
        let view = self.view();
        if view.is_removed() {
            return BTreeSet::new();
        }
        let members: BTreeSet<PeerId> = view.verdict.members().keys().copied().collect();
        let config = &self.config.links;
        let mut wanted = if members.len() > config.full_mesh_max.min(NEIGHBOURS_MAX) {
            neighbours(self.me, &members, config.degree)
        } else {
            members
        };
        let links = self.links();
        wanted.retain(|peer| *peer != self.me && !links.contains_key(peer));
        wanted
    }

    fn forget_former(&self, rounds: &mut Rounds) {
        let view = self.view();
        let members: BTreeSet<PeerId> = view.verdict.members().keys().copied().collect();
        lock(&self.discovery.learned).retain(&members);
        if !members.is_subset(&rounds.members) {
            rounds.strangers.clear();
        }
        rounds.members = members;
    }

    /// The addresses that this round tries.
    fn choose(
        &self,
        rounds: &Rounds,
        tailscale: Option<&TailscaleStatus>,
        missing: &BTreeSet<PeerId>,
    ) -> Vec<Address> {
        let now = clock::now().instant;
        let lan = lock(&self.discovery.lan).clone();
        let sources = CandidateSources {
            tailscale,
            tailscale_port: self.config.discovery.tailscale_port,
            configured: &self.config.discovery.peers,
            lan: &lan,
            own: &self.addresses(),
            round: rounds.number,
        };
        let taken = self.addresses_of_linked(missing);
        let is_local = self.is_on_loopback_alone();
        let mut chosen = BTreeSet::new();
        let mut list = Vec::new();
        for Candidate { peer, address, source } in candidates(&sources) {
            let is_worth_it = match source {
                CandidateSource::Configured => true,
                // Many a tailnet has devices that are no members, but no two have one address.
                CandidateSource::Tailscale => !taken.contains(&address),
                // The same private address may be another machine on another LAN: the claim counts.
                CandidateSource::Lan => {
                    peer.is_some_and(|claim| missing.iter().any(|peer| claim.matches(peer)))
                }
            };
            let is_far = source != CandidateSource::Configured && !is_loopback(&address);
            let is_barred = (is_local && is_far)
                || rounds.strangers.contains(&address, now)
                || lock(&self.discovery.learned).is_of_other(&address, missing, now);
            if is_worth_it && !is_barred && chosen.insert(address.clone()) {
                list.push(address);
            }
        }
        list
    }

    /// What the profiles of members with links say.
    fn addresses_of_linked(&self, missing: &BTreeSet<PeerId>) -> BTreeSet<Address> {
        let view = self.view();
        let linked = view.others().filter(|member| !missing.contains(&member.peer_id));
        linked.flat_map(|member| member.addresses.iter().cloned()).collect()
    }

    fn is_on_loopback_alone(&self) -> bool {
        self.listening.iter().all(|local| local.ip().is_loopback())
    }

    /// Tries one address; `None` when nobody is missing any more, so that it was not contacted.
    async fn try_address(
        self: &Arc<Self>,
        address: &Address,
        missing: &BTreeSet<PeerId>,
    ) -> Option<Tried> {
        if missing.iter().all(|peer| self.link(peer).is_some()) {
            return None;
        }
        let dialled = timeout(DIAL_TIMEOUT, self.transport.dial_member(address)).await;
        let pending = match dialled {
            Ok(Ok(pending)) => pending,
            Ok(Err(DialError::Stranger { .. })) => {
                tracing::debug!(%address, "no member answers there");
                return Some(Tried::Stranger);
            }
            Ok(Err(error)) => {
                tracing::debug!(%address, error = %chain(&error), "nobody found");
                return Some(Tried::Nothing);
            }
            Err(_) => return Some(Tried::Nothing),
        };
        let peer = pending.peer();
        lock(&self.discovery.learned).learn(peer, address.clone(), clock::now().instant);
        // A large mesh is linked in parts; a node that is cut off takes whom it finds.
        let is_wanted = missing.contains(&peer) || self.links().is_empty();
        if !is_wanted || self.link(&peer).is_some() {
            return Some(Tried::Nothing);
        }
        let hostname = self.view().label(&peer);
        tracing::info!(peer = %peer.short(), %hostname, %address, "member found");
        let Err(error) = self.greet(pending).await else { return Some(Tried::Linked(peer)) };
        tracing::debug!(peer = %peer.short(), error = %chain(&error), "the member that was found does not link");
        if error.is_refusal() {
            self.introduce(peer, std::slice::from_ref(address)).await;
        }
        // An ordinary dial knows the address.
        self.drive(|core, now| core.plan(LinkInput::AddressesChanged { peer }, now));
        Some(Tried::Nothing)
    }
}

/// What came of an address.
#[derive(Clone, Copy, Debug)]
enum Tried {
    /// A member is there, and linked now.
    Linked(PeerId),
    /// Somebody is there who is no member.
    Stranger,
    /// Nobody answers, or a member that needs no link, or that will be dialled again.
    Nothing,
}

fn is_loopback(address: &Address) -> bool {
    address.socket_addr().is_some_and(|addr| addr.ip().to_canonical().is_loopback())
}
