//! Rounds of questions to linked members about one that has no link.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesh_protocol::{PeerId, UnixMillis};

use super::subject::Subject;
use super::{Liveness, LivenessOutput, MemberState, Now};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A probe under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    subject: PeerId,
    helper: PeerId,
}

/// What a helper says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) is_reached: bool,
    pub(super) incarnation: u64,
    pub(super) last_seen_at: UnixMillis,
}

/// Questions about one member that are asked together.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) deadline: Instant,
    /// Nonces without an answer.
    open: BTreeSet<u64>,
    /// How many were asked.
    asked: usize,
    is_answered: bool,
    /// Everybody is asked, because the member may be forgotten.
    is_last: bool,
}

#[cfg(test)]
impl Round {
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }
}

impl Liveness {
    /// Asks about a member; everybody if `is_last`. Without anybody to ask, the round ends by its deadline.
    pub(super) fn start_round(&mut self, peer: PeerId, is_last: bool, now: Now) {
        self.drop_round(peer);
        let Some(subject) = self.subjects.get(&peer) else { return };
        let reached_by = subject.reached_by;
        let helpers =
            if is_last { self.linked.iter().copied().collect() } else { self.choose(reached_by) };
        let mut round = Round {
            deadline: now.instant + self.config.probe_timeout,
            open: BTreeSet::new(),
            asked: helpers.len(),
            is_answered: false,
            is_last,
        };
        for helper in helpers {
            round.open.insert(self.ask(helper, peer));
        }
        if let Some(subject) = self.subjects.get_mut(&peer) {
            subject.round = Some(round);
        }
    }

    /// Draws helpers among the linked members, starting with whoever was of help the last time.
    fn choose(&mut self, reached_by: Option<PeerId>) -> Vec<PeerId> {
        let proven = reached_by.filter(|helper| self.linked.contains(helper));
        let mut others: Vec<PeerId> =
            self.linked.iter().filter(|peer| Some(**peer) != proven).copied().collect();
        let mut helpers: Vec<PeerId> = proven.into_iter().collect();
        while helpers.len() < self.config.helpers && !others.is_empty() {
            helpers.push(others.swap_remove(self.chance.below(others.len())));
        }
        helpers
    }

    fn ask(&mut self, helper: PeerId, subject: PeerId) -> u64 {
        let nonce = self.next_nonce;
        self.next_nonce = nonce.wrapping_add(1);
        self.probes.insert(nonce, Probe { subject, helper });
        self.outputs.push_back(LivenessOutput::Probe { helper, subject, nonce });
        nonce
    }

    /// Takes a probe out of those under way. None when this helper was not asked that.
    pub(super) fn take_probe(&mut self, nonce: u64, helper: PeerId) -> Option<PeerId> {
        let probe = *self.probes.get(&nonce).filter(|probe| probe.helper == helper)?;
        self.probes.remove(&nonce);
        if let Some(round) = self.subjects.get_mut(&probe.subject)?.round.as_mut() {
            round.open.remove(&nonce);
        }
        Some(probe.subject)
    }

    pub(super) fn take_answer(&mut self, nonce: u64, helper: PeerId, answer: &Answer, now: Now) {
        let Some(peer) = self.take_probe(nonce, helper) else { return };
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        // Whoever reaches an older incarnation has not noticed yet that it is gone.
        let is_outdated = answer.is_reached && answer.incarnation < subject.incarnation;
        if !is_outdated && answer.last_seen_at > UnixMillis(0) {
            let seen_at = answer.last_seen_at.min(now.wall);
            subject.last_seen_at = subject.last_seen_at.max(Some(seen_at));
        }
        if let Some(round) = &mut subject.round {
            round.is_answered = true;
            // It is no proof of life, but nobody is forgotten against it.
            round.is_last &= !is_outdated;
        }
        if answer.is_reached && !is_outdated {
            subject.reached_by = Some(helper);
            self.prove_alive(peer, now);
        } else {
            self.conclude_if_over(peer, now);
        }
    }

    /// Ends the round when everybody who was asked has answered or cannot.
    pub(super) fn conclude_if_over(&mut self, peer: PeerId, now: Now) {
        let round = self.subjects.get(&peer).and_then(|subject| subject.round.as_ref());
        if round.is_some_and(|round| round.asked > 0 && round.open.is_empty()) {
            self.conclude(peer, now);
            self.set_alarm(peer);
        }
    }

    /// Nobody has said that it reaches the member.
    pub(super) fn conclude(&mut self, peer: PeerId, now: Now) {
        let Some(round) = self.drop_round(peer) else { return };
        if let Some(subject) = self.subjects.get(&peer)
            && round.is_last
            && (round.is_answered || (round.asked == 0 && self.subjects.len() == 1))
            && self.is_forgettable(subject, now)
        {
            let last_seen_at = subject.counts_from();
            self.outputs.push_back(LivenessOutput::Forget { peer, last_seen_at });
            if let Some(subject) = self.subjects.get_mut(&peer) {
                subject.forgot_at = Some(now.instant);
            }
        }
        let Some(subject) = self.subjects.get_mut(&peer) else { return };
        subject.lacks_helper = round.asked == 0;
        subject.reached_by = None;
        subject.probe_at = now.instant
            + match subject.state {
                MemberState::Inactive => self.config.inactive_probe_every,
                MemberState::Alive | MemberState::Suspect | MemberState::Down => {
                    self.config.probe_every
                }
            };
        match subject.state {
            MemberState::Alive | MemberState::Suspect => {
                self.change_state(peer, MemberState::Down, now);
            }
            MemberState::Down | MemberState::Inactive => {}
        }
    }

    /// Makes the probes about a member void.
    pub(super) fn drop_round(&mut self, peer: PeerId) -> Option<Round> {
        let round = self.subjects.get_mut(&peer)?.round.take()?;
        for nonce in &round.open {
            self.probes.remove(nonce);
        }
        Some(round)
    }

    /// A member that can be asked joins the rounds that lack helpers, and those that had none are repeated.
    pub(super) fn gain_helper(&mut self, helper: PeerId, now: Now) {
        let unlinked: Vec<PeerId> =
            self.subjects.keys().filter(|peer| !self.linked.contains(peer)).copied().collect();
        for peer in unlinked {
            let Some(subject) = self.subjects.get_mut(&peer) else { continue };
            let is_short = subject
                .round
                .as_ref()
                .is_some_and(|round| !round.is_last && round.asked < self.config.helpers);
            if is_short {
                let nonce = self.ask(helper, peer);
                let round = self.subjects.get_mut(&peer).and_then(|subject| subject.round.as_mut());
                if let Some(round) = round {
                    round.open.insert(nonce);
                    round.asked += 1;
                    round.deadline = now.instant + self.config.probe_timeout;
                }
            } else if subject.round.is_none() && subject.lacks_helper {
                subject.lacks_helper = false;
                self.start_round(peer, false, now);
            } else {
                continue;
            }
            self.set_alarm(peer);
        }
    }

    /// A member cannot be asked any more: what it was asked stays without an answer.
    pub(super) fn lose_helper(&mut self, helper: PeerId, now: Now) {
        let asked: Vec<u64> = self
            .probes
            .iter()
            .filter(|(_, probe)| probe.helper == helper)
            .map(|(nonce, _)| *nonce)
            .collect();
        for nonce in asked {
            if let Some(peer) = self.take_probe(nonce, helper) {
                self.conclude_if_over(peer, now);
            }
        }
    }

    /// Whether nobody, as far as is known, has seen the member for too long, and this node is the one to
    /// say so: of those who see each other one is enough. A node that was started lately may have been
    /// away itself, with others seeing the member meanwhile.
    pub(super) fn is_forgettable(&self, subject: &Subject, now: Now) -> bool {
        let forget_after = self.config.forget_after;
        let since = |at: Option<Instant>| at.map(|at| now.instant.saturating_duration_since(at));
        !forget_after.is_zero()
            && subject.state == MemberState::Inactive
            && self.linked.first().is_none_or(|smallest| self.me < *smallest)
            && since(self.started_at).is_some_and(|ran_for| ran_for >= forget_after.min(DAY))
            && since(subject.forgot_at).is_none_or(|said| said >= DAY)
            && subject.unseen_for(now) >= forget_after
    }
}
