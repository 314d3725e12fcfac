use std::time::Instant;

use mesh_protocol::{OriginHave, PeerId, SyncHave};

use super::stated::Stated;
use super::{Exchange, ExchangeOutput};

impl Exchange {
    /// A linked member says what it has itself.
    pub(super) fn hear(&mut self, from: PeerId, have: SyncHave, now: Instant) {
        let Some(link) = self.links.get_mut(&from) else { return };
        let (is_whole, is_first) = (have.is_whole, !link.is_heard);
        if !is_whole && is_first {
            return;
        }
        let asks = is_whole && have.wants_answer;
        // Two that waited for room may come in another order than they were made in.
        let is_old = self.known.get(&from).is_some_and(|known| known.revision > have.revision);
        if is_old && !is_first {
            if asks {
                self.answer(from, now);
            }
            return;
        }
        let before = self.known.remove(&from);
        let stated = Stated::from(have, before.as_ref());
        link.is_heard = true;
        link.reconcile(before.as_ref(), &stated, &self.config, now);
        if is_whole {
            link.answered();
        }
        self.known.insert(from, stated);
        if is_first && let Some(followed) = self.followed.get_mut(&from) {
            followed.give_up();
        }
        self.follow(from);
        self.watch_for_copies(from);
        if asks {
            self.answer(from, now);
        } else if is_first {
            self.aim_at_everything(&from);
        } else if is_whole {
            self.aim_at_settled(&from, now);
        } else {
            self.wake(from);
        }
        self.look_for_snapshot(self.wants_changes(), now);
    }

    /// A linked member says what one has that is not linked.
    pub(super) fn overhear(&mut self, from: PeerId, mut have: SyncHave) {
        let member = have.member;
        let Some(own) = &self.own else { return };
        if !have.is_whole || !self.members.contains(&member) {
            return;
        }
        if let Some(link) = self.links.get_mut(&from) {
            let revision = link.relayed.entry(member).or_default();
            *revision = have.revision.max(*revision);
        }
        let known = self.known.get(&member);
        let is_old = known.is_some_and(|known| known.revision >= have.revision);
        if self.links.contains_key(&member) || is_old {
            return;
        }
        // It serves to forget what everybody has, once all of it is here.
        let is_known = |origin: &OriginHave| own.origins.contains_key(&origin.origin);
        let is_all = have.origins.iter().all(is_known);
        have.origins.retain(is_known);
        let stated = Stated::from(have, self.known.get(&member));
        self.known.insert(member, stated);
        if is_all {
            self.follow(member);
        }
    }

    /// Nobody has more of a database than it has itself, unless it is an old copy; and no two members
    /// have the same one, unless one of them copied it.
    fn watch_for_copies(&mut self, from: PeerId) {
        let (Some(own), Some(stated)) = (&self.own, self.known.get(&from)) else { return };
        let theirs = stated.upto(&own.database);
        // One of the two has to move, and both have to agree which.
        let is_double = stated.database == own.database && self.me > from;
        if theirs > own.upto(&own.database) || is_double {
            if !self.was_renewed {
                (self.was_renewed, self.is_renewing) = (true, true);
                let shared_upto = self.shared_upto;
                self.outputs.push_back(ExchangeOutput::RenewOrigin { shared_upto });
            }
        } else if stated.database != own.database {
            self.shared_upto = self.shared_upto.max(theirs);
        }
    }
}
