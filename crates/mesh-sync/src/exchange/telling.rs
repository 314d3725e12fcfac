use std::time::Instant;

use mesh_protocol::{OriginHave, PeerId, SyncHave};

use super::stated::tellable;
use super::{Exchange, ExchangeOutput};

impl Exchange {
    /// Whether members should send what is missing here: not while it comes with a snapshot.
    pub(super) fn wants_changes(&self) -> bool {
        self.taking.is_none() && !self.own.as_ref().is_some_and(|own| own.in_snapshot)
    }

    /// Tells a peer everything that is here, and what those have that it is not linked with.
    pub(super) fn compare(&mut self, peer: PeerId, now: Instant) {
        let every = self.chance.around(self.config.compare_every, self.config.compare_jitter);
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.compare_at = Some(now + every);
        self.tell_everything(peer, false, now);
        self.relay(peer);
    }

    /// Tells every peer everything: something has changed that all of them have to know at once.
    pub(super) fn tell_all(&mut self, now: Instant) {
        (self.tell_at, self.untold) = (None, std::collections::BTreeSet::new());
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in peers {
            self.tell_everything(peer, false, now);
        }
    }

    /// Acknowledges what was applied.
    pub(super) fn tell_changes(&mut self, now: Instant) {
        self.tell_at = None;
        let untold = std::mem::take(&mut self.untold);
        let Some(own) = &self.own else { return };
        let origins: Vec<OriginHave> = tellable(own.origins.values())
            .into_iter()
            .filter(|have| untold.contains(&have.origin))
            .collect();
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for to in peers {
            self.say(to, origins.clone(), false, false, now);
        }
    }

    /// Asks a peer for what is missing, if it is time.
    pub(super) fn ask(&mut self, peer: PeerId, now: Instant) {
        let wants = self.wants_changes() && self.own.is_some();
        let Some(link) = self.links.get_mut(&peer) else { return };
        if wants && link.ask_at(&self.config, now).is_some_and(|due| due <= now) {
            link.asked(now);
            self.tell_everything(peer, true, now);
        }
    }

    /// Answers a peer that misses something: with what is here, and with all that it has not been able to
    /// apply.
    pub(super) fn answer(&mut self, peer: PeerId, now: Instant) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        // Half a pause, for questions do not arrive as evenly as they are asked.
        let due = link.answered_at.map(|last| last + self.config.ask_pause / 2);
        if let Some(due) = due.filter(|due| *due > now) {
            link.answer_at = Some(due);
            return;
        }
        link.answer_at = None;
        link.answered_at = Some(now);
        link.forget_sent();
        self.tell_everything(peer, false, now);
        // What has only just come here is most likely on its way to the peer as well, from where it came.
        self.aim_at_settled(&peer, now);
    }

    pub(super) fn tell_everything(&mut self, to: PeerId, wants_answer: bool, now: Instant) {
        let Some(own) = &self.own else { return };
        let origins = tellable(own.origins.values());
        self.say(to, origins, true, wants_answer, now);
    }

    fn say(
        &mut self,
        to: PeerId,
        origins: Vec<OriginHave>,
        is_whole: bool,
        wants_answer: bool,
        now: Instant,
    ) {
        let Some(own) = self.own.as_ref().filter(|_| self.links.contains_key(&to)) else { return };
        let database = own.database;
        let (started_at, started) = self.started;
        let started = started.unwrap_or(now);
        self.started = (started_at, Some(started));
        let at = started_at.plus(now.saturating_duration_since(started)).0;
        self.revision = at.max(self.revision.saturating_add(1));
        let have = SyncHave {
            member: self.me,
            database,
            revision: self.revision,
            origins,
            wants_answer,
            is_whole,
            wants_changes: self.wants_changes(),
        };
        self.outputs.push_back(ExchangeOutput::SendHave { to, have });
    }

    /// Tells a peer what is known of members that it is not linked with, unless it has heard the same.
    fn relay(&mut self, to: PeerId) {
        let Some(own) = &self.own else { return };
        let mut told = Vec::new();
        for (member, stated) in self.known.iter().filter(|(member, _)| **member != to) {
            let is_known = |link: &super::Link| {
                link.relayed.get(member).is_some_and(|revision| stated.is_told_by(*revision))
            };
            if self.are_linked(&to, member) || self.links.get(&to).is_none_or(is_known) {
                continue;
            }
            let origins = stated.origins().filter(|have| own.origins.contains_key(&have.origin));
            told.push(SyncHave {
                member: *member,
                database: stated.database,
                revision: stated.revision,
                origins: tellable(origins),
                wants_answer: false,
                is_whole: true,
                wants_changes: stated.wants_changes,
            });
        }
        for have in told {
            if let Some(link) = self.links.get_mut(&to) {
                link.relayed.insert(have.member, have.revision);
            }
            self.outputs.push_back(ExchangeOutput::SendHave { to, have });
        }
    }
}
