//! Liveness in a mesh that is too large for links between all: a node judges the members that it keeps
//! links with, and hears of all others by SWIM.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_delivery::Now;
use mesh_membership::{
    LinkConfig, LinkInput, MemberState, Swim, SwimConfig, SwimInput, SwimOutput, neighbours,
};
use mesh_protocol::{PeerId, UnixMillis};

use super::{Core, Wish};

/// How far the clock of a member may be ahead for its incarnation to be believed; a day.
const INCARNATION_AHEAD_MAX: u64 = 86_400_000;

/// What the liveness of a large mesh is set up with.
#[derive(Clone, Debug)]
pub(crate) struct LargeConfig {
    pub(crate) links: LinkConfig,
    pub(crate) swim: SwimConfig,
    pub(crate) inactive_after: Duration,
    pub(crate) incarnation: u64,
    pub(crate) seed: u64,
}

/// The engine of large meshes, while there is one.
#[derive(Debug)]
pub(super) struct Large {
    config: LargeConfig,
    running: Option<Running>,
    /// The wall clock of the latest look: gossip keeps members alive without dates.
    looked_at: UnixMillis,
}

#[derive(Debug)]
struct Running {
    swim: Swim,
    /// Members that this node keeps no links with.
    heard: BTreeMap<PeerId, MemberState>,
    /// Those of them that are down, since when: the earliest is asked for with every message.
    down: BTreeSet<(Instant, PeerId)>,
}

impl Running {
    /// Notes a member's state and returns the one before; none when it has not changed, or the member is
    /// not judged here.
    fn change(&mut self, peer: PeerId, to: MemberState, now: Instant) -> Option<MemberState> {
        let state = self.heard.get_mut(&peer).filter(|state| **state != to)?;
        let from = std::mem::replace(state, to);
        if from == MemberState::Down {
            self.down.retain(|(_, down)| *down != peer);
        }
        if to == MemberState::Down {
            self.down.insert((now, peer));
        }
        Some(from)
    }
}

impl Large {
    pub(super) const fn new(config: LargeConfig) -> Self {
        Self { config, running: None, looked_at: UnixMillis(0) }
    }

    pub(super) fn state(&self, peer: &PeerId) -> Option<MemberState> {
        self.running.as_ref()?.heard.get(peer).copied()
    }

    /// A member that gossip keeps alive was heard of just now; of another one nothing is known here.
    pub(super) fn last_seen_at(&self, peer: &PeerId) -> Option<UnixMillis> {
        (self.state(peer)? == MemberState::Alive).then_some(self.looked_at)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let inactive = running.down.first().map(|(since, _)| *since + self.config.inactive_after);
        running.swim.poll_timeout().into_iter().chain(inactive).min()
    }
}

impl Core {
    /// The members whose liveness this node judges itself; in a large mesh, SWIM judges the others.
    pub(super) fn judged_members(&mut self, now: Now) -> BTreeSet<PeerId> {
        let others: BTreeSet<PeerId> = self.dialled.keys().copied().collect();
        let links = &self.large.config.links;
        if others.len() < links.full_mesh_max {
            self.large.running = None;
            return others;
        }
        let everybody: BTreeSet<PeerId> = others.iter().copied().chain([self.me]).collect();
        let near = neighbours(self.me, &everybody, links.degree);
        let config = &self.large.config;
        let running = self.large.running.get_or_insert_with(|| Running {
            swim: Swim::new(self.me, config.incarnation, config.swim.clone(), config.seed),
            heard: BTreeMap::new(),
            down: BTreeSet::new(),
        });
        let far: BTreeSet<PeerId> = others.difference(&near).copied().collect();
        running.heard.retain(|peer, _| far.contains(peer));
        running.down.retain(|(_, peer)| far.contains(peer));
        for peer in far {
            running.heard.entry(peer).or_insert(MemberState::Suspect);
        }
        running.swim.handle_input(SwimInput::MembersChanged(others), now.instant);
        near
    }

    /// Gossip of the large mesh, from the member that began its way.
    pub(crate) fn swim_received(&mut self, from: PeerId, data: Vec<u8>, now: Now) {
        if let Some(running) = &mut self.large.running {
            // Incarnations are taken from the clock.
            let incarnation_max = now.wall.0.saturating_add(INCARNATION_AHEAD_MAX);
            let input = SwimInput::Received { from, data, incarnation_max };
            running.swim.handle_input(input, now.instant);
        }
        self.collect(now);
    }

    pub(super) fn pass_time_in_large(&mut self, now: Now) {
        self.large.looked_at = now.wall;
        let inactive_after = self.large.config.inactive_after;
        let Some(running) = &mut self.large.running else { return };
        running.swim.handle_timeout(now.instant);
        let is_due = |(since, _): &&(Instant, PeerId)| now.instant >= *since + inactive_after;
        let due: Vec<PeerId> =
            running.down.iter().take_while(is_due).map(|(_, peer)| *peer).collect();
        for peer in due {
            self.hear(peer, MemberState::Inactive, now);
        }
    }

    /// Hands on what SWIM has to say. True when there was something.
    pub(super) fn collect_large(&mut self, now: Now) -> bool {
        let mut is_quiet = true;
        while let Some(output) =
            self.large.running.as_mut().and_then(|running| running.swim.poll_output())
        {
            is_quiet = false;
            match output {
                SwimOutput::Send { to, data } => {
                    self.wishes.push_back(Wish::SendSwim { to, data });
                }
                // Its incarnation is hearsay: what a member did not sign itself must not outbid it.
                SwimOutput::Up { peer, .. } => {
                    self.hear(peer, MemberState::Alive, now);
                    self.planner.handle_input(LinkInput::DialNow { peer }, now.instant);
                }
                SwimOutput::Down { peer } => self.hear(peer, MemberState::Down, now),
            }
        }
        !is_quiet
    }

    /// A node without any link reaches nobody, which SWIM would find out member by member; with the first
    /// link, what it knew counts again.
    pub(super) fn follow_isolation(&mut self, now: Now) {
        let is_alone = !self.reach.values().any(Vec::is_empty);
        let Some(running) = &self.large.running else { return };
        let known = running.heard.keys().copied();
        let changed: Vec<(PeerId, MemberState)> = if is_alone {
            known
                .filter(|peer| self.is_active(peer))
                .map(|peer| (peer, MemberState::Down))
                .collect()
        } else {
            let up = known.filter(|peer| running.swim.is_up(peer));
            up.map(|peer| (peer, MemberState::Alive)).collect()
        };
        for (peer, state) in changed {
            self.hear(peer, state, now);
        }
    }

    fn hear(&mut self, peer: PeerId, to: MemberState, now: Now) {
        let Some(running) = &mut self.large.running else { return };
        if let Some(from) = running.change(peer, to, now.instant) {
            self.wishes.push_back(Wish::StateChanged { peer, from, to });
        }
    }
}
