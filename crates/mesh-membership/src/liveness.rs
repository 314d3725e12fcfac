//! Which members are alive: what the own links show, and what others say when a link is lost.

mod config;
mod ports;
mod round;
mod subject;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_protocol::{PeerId, UnixMillis};

use crate::chance::Chance;
use round::{Probe, Round};
use subject::Subject;

pub use config::LivenessConfig;
pub use ports::{LivenessInput, LivenessOutput, MemberState};

/// This moment on both clocks: waits are measured by the one that never leaps.
#[derive(Clone, Copy, Debug)]
struct Now {
    instant: Instant,
    wall: UnixMillis,
}

/// Decides which members are alive.
///
/// A link is proof of life. When it is lost, a few linked members are asked whether they reach the
/// peer: one that does tells "the link is down" from "the peer is down". Of incarnations only what the
/// peer itself signed is believed, so that no helper can outbid the peer with a lie.
///
/// Holds no socket, clock or task. At most [`LivenessConfig::helpers`] probes per member are under way,
/// or one per linked member when it is about to be forgotten.
#[derive(Clone, Debug)]
pub struct Liveness {
    me: PeerId,
    config: LivenessConfig,
    chance: Chance,
    /// When the first input came.
    started_at: Option<Instant>,
    subjects: BTreeMap<PeerId, Subject>,
    /// Members with a link, all of which are alive.
    linked: BTreeSet<PeerId>,
    /// Probes under way, by nonce.
    probes: BTreeMap<u64, Probe>,
    next_nonce: u64,
    /// When to look at whom.
    alarms: BTreeSet<(Instant, PeerId)>,
    outputs: VecDeque<LivenessOutput>,
}

impl Liveness {
    /// Starts without members. `seed` should differ between nodes and starts: it chooses helpers and the
    /// first nonce.
    #[must_use]
    pub fn new(me: PeerId, config: LivenessConfig, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            me,
            config: config.clamped(),
            next_nonce: chance.draw(),
            chance,
            started_at: None,
            subjects: BTreeMap::new(),
            linked: BTreeSet::new(),
            probes: BTreeMap::new(),
            alarms: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. What is due at once comes out at once; the driver empties
    /// [`Liveness::poll_output`] before the next input.
    pub fn handle_input(&mut self, input: LivenessInput, now: Instant, wall: UnixMillis) {
        self.started_at.get_or_insert(now);
        let at = Now { instant: now, wall };
        match input {
            LivenessInput::MembersChanged(members) => self.change_members(&members, at),
            LivenessInput::LinkUp { peer } => self.link_up(peer, at),
            LivenessInput::LinkDown { peer } => self.link_down(peer, at),
            LivenessInput::Heard { peer } => {
                // The hot path: no alarm depends on it.
                if self.linked.contains(&peer)
                    && let Some(subject) = self.subjects.get_mut(&peer)
                {
                    subject.lived(at);
                }
                return;
            }
            LivenessInput::ProbeAnswered {
                nonce,
                helper,
                is_reached,
                incarnation,
                last_seen_at,
            } => {
                let answer = round::Answer { is_reached, incarnation, last_seen_at };
                self.take_answer(nonce, helper, &answer, at);
            }
            LivenessInput::ProbeUnsent { nonce, helper } => {
                if let Some(subject) = self.take_probe(nonce, helper) {
                    self.conclude_if_over(subject, at);
                }
            }
            LivenessInput::Announced { peer, incarnation, is_fresh } => {
                self.announced(peer, incarnation, is_fresh, at);
            }
        }
        self.handle_timeout(now, wall);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant, wall: UnixMillis) {
        while let Some((at, peer)) = self.alarms.first().copied()
            && at <= now
        {
            self.alarms.remove(&(at, peer));
            if let Some(subject) = self.subjects.get_mut(&peer) {
                subject.alarm = None;
                self.look_at(peer, Now { instant: now, wall });
                self.set_alarm(peer);
            }
        }
    }

    /// When to call [`Liveness::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> Option<LivenessOutput> {
        self.outputs.pop_front()
    }

    /// How alive a member is; none for whoever is no member, and for this node.
    #[must_use]
    pub fn state(&self, peer: &PeerId) -> Option<MemberState> {
        self.subjects.get(peer).map(|subject| subject.state)
    }

    /// When a member was last heard of, by this node or by one that was asked; none for never.
    #[must_use]
    pub fn last_seen_at(&self, peer: &PeerId) -> Option<UnixMillis> {
        self.subjects.get(peer).and_then(|subject| subject.last_seen_at)
    }

    /// The highest incarnation that the member itself has announced; 0 when none is known.
    #[must_use]
    pub fn incarnation(&self, peer: &PeerId) -> u64 {
        self.subjects.get(peer).map_or(0, |subject| subject.incarnation)
    }

    /// Whether the member has a link to this node.
    #[must_use]
    pub fn is_linked(&self, peer: &PeerId) -> bool {
        self.linked.contains(peer)
    }

    /// Every member but this node with its state, by id.
    pub fn states(&self) -> impl Iterator<Item = (PeerId, MemberState)> + '_ {
        self.subjects.iter().map(|(peer, subject)| (*peer, subject.state))
    }

    fn change_members(&mut self, members: &BTreeMap<PeerId, Option<UnixMillis>>, now: Now) {
        let gone: Vec<PeerId> =
            self.subjects.keys().filter(|peer| !members.contains_key(peer)).copied().collect();
        // First all of them, so that nothing is said about the ones while the others are dropped.
        for peer in &gone {
            self.drop_round(*peer);
            self.linked.remove(peer);
            if let Some(alarm) = self.subjects.remove(peer).and_then(|subject| subject.alarm) {
                self.alarms.remove(&(alarm, *peer));
            }
        }
        for peer in gone {
            self.lose_helper(peer, now);
        }
        let me = self.me;
        for (peer, last_seen_at) in members.iter().filter(|(peer, _)| **peer != me) {
            if let Some(subject) = self.subjects.get_mut(peer) {
                subject.last_seen_at = subject.last_seen_at.max(*last_seen_at);
                continue;
            }
            // Its link is given time to come up before anybody is asked.
            let probe_at = now.instant + self.config.probe_timeout;
            self.subjects.insert(*peer, Subject::new(*last_seen_at, now, probe_at));
            self.set_alarm(*peer);
        }
    }

    fn link_up(&mut self, peer: PeerId, now: Now) {
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        subject.lived(now);
        subject.reached_by = None;
        let is_new = self.linked.insert(peer);
        self.drop_round(peer);
        self.change_state(peer, MemberState::Alive, now);
        self.set_alarm(peer);
        if is_new {
            self.gain_helper(peer, now);
        }
    }

    fn link_down(&mut self, peer: PeerId, now: Now) {
        if !self.linked.remove(&peer) {
            return;
        }
        self.lose_helper(peer, now);
        self.change_state(peer, MemberState::Suspect, now);
        self.start_round(peer, false, now);
        self.set_alarm(peer);
    }

    fn announced(&mut self, peer: PeerId, incarnation: u64, is_fresh: bool, now: Now) {
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        let known = subject.incarnation;
        subject.incarnation = known.max(incarnation);
        // The first statement that this node hears may be days old: whoever is new is told of everybody.
        let is_proof = known > 0 && (incarnation > known || (is_fresh && incarnation == known));
        if is_proof && !self.linked.contains(&peer) {
            self.prove_alive(peer, now);
        }
    }

    /// A member without a link lives.
    fn prove_alive(&mut self, peer: PeerId, now: Now) {
        self.drop_round(peer);
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        subject.lived(now);
        subject.probe_at = now.instant + self.config.probe_every;
        if subject.state != MemberState::Alive {
            self.change_state(peer, MemberState::Alive, now);
            self.outputs.push_back(LivenessOutput::DialNow { peer });
        }
        self.set_alarm(peer);
    }

    /// Does what is due for a member.
    fn look_at(&mut self, peer: PeerId, now: Now) {
        if self.linked.contains(&peer) {
            return;
        }
        let Some(subject) = self.subjects.get(&peer) else { return };
        match &subject.round {
            Some(Round { deadline, .. }) if *deadline <= now.instant => self.conclude(peer, now),
            None if subject.probe_at <= now.instant => {
                let is_last = self.is_forgettable(subject, now);
                self.start_round(peer, is_last, now);
            }
            Some(_) | None => {}
        }
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        if subject.state == MemberState::Down
            && subject.down_since + self.config.inactive_after <= now.instant
        {
            subject.probe_at = now.instant + self.config.inactive_probe_every;
            self.change_state(peer, MemberState::Inactive, now);
        }
    }

    fn change_state(&mut self, peer: PeerId, to: MemberState, now: Now) {
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        if to == MemberState::Down {
            subject.down_since = now.instant;
        }
        let from = std::mem::replace(&mut subject.state, to);
        if from != to {
            self.outputs.push_back(LivenessOutput::StateChanged { peer, from, to });
        }
    }

    fn set_alarm(&mut self, peer: PeerId) {
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        let alarm = (!self.linked.contains(&peer)).then(|| {
            let next = subject.round.as_ref().map_or(subject.probe_at, |round| round.deadline);
            match subject.state {
                MemberState::Down => next.min(subject.down_since + self.config.inactive_after),
                MemberState::Alive | MemberState::Suspect | MemberState::Inactive => next,
            }
        });
        if let Some(old) = std::mem::replace(&mut subject.alarm, alarm) {
            self.alarms.remove(&(old, peer));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, peer));
        }
    }
}

#[cfg(test)]
mod tests;
