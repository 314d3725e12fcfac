use std::time::Instant;

use mesh_protocol::{OriginHave, PeerId};

use super::link::Link;
use super::stated::Stated;
use super::{Exchange, ExchangeOutput, Own};

impl Exchange {
    /// The taking of a snapshot has ended. After one that is complete, [`Exchange::own`] tells what there is.
    pub fn snapshot_ended(&mut self, peer: PeerId, completed: bool, now: Instant) {
        self.now = Some(now);
        if self.taking != Some(peer) {
            return;
        }
        let config = &self.config;
        let pause = if completed { config.compare_every } else { config.ask_again_after };
        if let Some(link) = self.links.get_mut(&peer) {
            link.snapshot_ended(completed, pause, now);
        }
        self.is_taken = completed && self.own.as_ref().is_some_and(|own| own.in_snapshot);
        if !self.is_taken {
            self.taking = None;
            if completed {
                self.judge_giver(&peer, now);
            }
            self.look_for_snapshot(false, now);
        }
    }

    /// A snapshot is whole, and the database has told what it has since. Snapshots become rare from whoever gives them and
    /// has more all the same, not from whoever is needed often.
    pub(super) fn judge_giver(&mut self, peer: &PeerId, now: Instant) {
        let (Some(own), Some(stated)) = (&self.own, self.known.get(peer)) else { return };
        if !has_forgotten(stated, own)
            && let Some(link) = self.links.get_mut(peer)
        {
            link.snapshot_helped(now + self.config.compare_every);
        }
    }

    /// Wishes for a snapshot if need be, and tells everybody whether changes are wanted, if that is not as
    /// it was.
    pub(super) fn look_for_snapshot(&mut self, wanted: bool, now: Instant) {
        self.seek_snapshot(now);
        if wanted != self.wants_changes() {
            self.tell_all(now);
        }
    }

    /// The link is gone from which a snapshot is perhaps being taken.
    pub(super) fn lose_giver(&mut self, peer: PeerId) {
        if self.taking == Some(peer) {
            (self.taking, self.is_taken) = (None, false);
        }
    }

    /// Wishes for a snapshot if one is needed and somebody can give it.
    pub(super) fn seek_snapshot(&mut self, now: Instant) {
        self.snapshot_at = None;
        let Some(own) = &self.own else { return };
        if self.taking.is_some() || self.is_renewing {
            return;
        }
        let is_new = own.origins.values().all(|have| have.origin == own.database || have.upto == 0);
        let is_below = self.is_below_floors(own);
        self.below_since = is_below.then(|| self.below_since.unwrap_or(now));
        // Somebody else still has everything that is missing, and need only be given the time to send it.
        let patience = self.below_since.filter(|_| self.can_be_served(own));
        let patience = patience.map(|since| since + self.config.compare_every);
        if let Some(patience) = patience.filter(|until| *until > now) {
            self.snapshot_at = Some(patience);
            if !own.in_snapshot && !is_new {
                return;
            }
        }
        let candidates = self.givers().filter(|(_, stated)| {
            own.in_snapshot
                || has_forgotten(stated, own)
                || (is_new && lead(stated, own) >= self.config.snapshot_transactions_min)
        });
        let (mut best, mut again_at) = (None, self.snapshot_at);
        for (peer, stated) in candidates {
            let Some(link) = self.links.get(peer) else { continue };
            let rank = (std::cmp::Reverse(link.snapshots_in_vain), lead(stated, own));
            let waits = link.snapshot_waits(own.in_snapshot, now);
            match waits.max(self.lets_begin(peer, stated, own).filter(|until| *until > now)) {
                Some(after) => again_at = Some(again_at.map_or(after, |at| at.min(after))),
                None if best.is_none_or(|(found, _)| found < rank) => best = Some((rank, *peer)),
                None => {}
            }
        }
        let is_deserted = own.in_snapshot && self.is_nobody_whole();
        self.snapshot_at = again_at;
        if let Some((_, from)) = best {
            (self.taking, self.snapshot_at, self.abandon_at) = (Some(from), None, None);
            self.outputs.push_back(ExchangeOutput::TakeSnapshot { from });
        } else if is_deserted {
            self.desert(now);
        } else {
            self.abandon_at = None;
        }
    }

    /// Everybody waits for somebody who is whole. Whoever abandons what it began is, and others go on with it; so
    /// they should not all do it in the same moment.
    fn desert(&mut self, now: Instant) {
        let pause = self.chance.around(self.config.compare_every, self.config.compare_jitter);
        let abandon_at = match self.abandon_at {
            Some(due) if due <= now => {
                self.outputs.push_back(ExchangeOutput::AbandonSnapshot);
                now + pause
            }
            Some(due) => due,
            None => now + pause,
        };
        self.abandon_at = Some(abandon_at);
        self.snapshot_at = Some(self.snapshot_at.map_or(abandon_at, |at| at.min(abandon_at)));
    }

    /// Whether every other member has said that it takes a snapshot itself. One that was not heard of may be
    /// whole.
    fn is_nobody_whole(&self) -> bool {
        let is_taking = |stated: &Stated| !stated.wants_changes;
        self.members.iter().all(|member| self.known.get(member).is_some_and(is_taking))
    }

    /// Until when a peer is let begin that needs a snapshot from here, too: whoever takes one gives none, and two that
    /// began at once would wait for each other.
    fn lets_begin(&self, peer: &PeerId, stated: &Stated, own: &Own) -> Option<Instant> {
        let others = own.origins.values().filter(|have| have.origin != stated.database);
        let lacks_forgotten = |have: &OriginHave| have.floor > stated.upto(&have.origin);
        let is_second = !own.in_snapshot && *peer < self.me && { others }.any(lacks_forgotten);
        self.below_since.filter(|_| is_second).map(|since| since + self.config.compare_every)
    }

    /// Linked members whose state is whole, as far as they say.
    fn givers(&self) -> impl Iterator<Item = (&PeerId, &Stated)> {
        let heard = |(peer, link): (_, &Link)| {
            link.is_heard.then(|| self.known.get_key_value(peer)).flatten()
        };
        self.links.iter().filter_map(heard).filter(|(_, stated)| stated.wants_changes)
    }

    fn is_below_floors(&self, own: &Own) -> bool {
        self.givers().any(|(_, stated)| has_forgotten(stated, own))
    }

    /// Whether one member can send all that others have forgotten.
    fn can_be_served(&self, own: &Own) -> bool {
        let forgotten: Vec<&OriginHave> = (self.givers())
            .flat_map(|(_, stated)| stated.origins().filter(|have| is_forgotten(have, own)))
            .collect();
        self.givers().any(|(_, stated)| {
            !has_forgotten(stated, own)
                && forgotten.iter().all(|have| stated.upto(&have.origin) >= have.floor)
        })
    }
}

/// Whether a member cannot send one by one what is missing here.
fn is_forgotten(have: &OriginHave, own: &Own) -> bool {
    have.origin != own.database && have.floor > own.upto(&have.origin)
}

fn has_forgotten(stated: &Stated, own: &Own) -> bool {
    stated.origins().any(|have| is_forgotten(have, own))
}

/// How many transactions a member has beyond what is here.
fn lead(stated: &Stated, own: &Own) -> u64 {
    let others = stated.origins().filter(|have| have.origin != own.database);
    let leads = others.map(|have| have.upto.saturating_sub(own.upto(&have.origin)));
    leads.fold(0, u64::saturating_add)
}
