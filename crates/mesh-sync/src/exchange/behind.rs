use std::time::Instant;

use mesh_protocol::{OriginHave, OriginId, PeerId};

use super::{Behind, Exchange};

impl Exchange {
    /// Tells a linked member at once what is here, and asks for the same.
    pub fn compare_now(&mut self, peer: PeerId, now: Instant) {
        self.now = Some(now);
        self.tell_everything(peer, true, now);
    }

    /// The member that says an origin is its database at the moment.
    #[must_use]
    pub fn member_of(&self, origin: &OriginId) -> Option<PeerId> {
        if self.own.as_ref().is_some_and(|own| own.database == *origin) {
            return Some(self.me);
        }
        let known = self.known.iter().find(|(_, stated)| stated.database == *origin);
        known.map(|(peer, _)| *peer)
    }

    /// How far every linked member and this one are apart.
    #[must_use]
    pub fn behind(&self) -> Vec<Behind> {
        let apart = |peer| -> Option<(u64, u64)> {
            let (own, stated) = (self.own.as_ref()?, self.known.get(peer)?);
            let upto = |have: &OriginHave| (have.upto, have.holes.len());
            let mine = own.origins.values().map(|have| {
                let theirs = stated.get(&have.origin).map_or((0, 0), upto);
                lead(upto(have), theirs)
            });
            let theirs = stated.origins().map(|have| {
                let mine = own.origins.get(&have.origin).map_or((0, 0), upto);
                lead(upto(have), mine)
            });
            let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
            Some((sum(&mut { mine }), sum(&mut { theirs })))
        };
        let heard = self.links.iter().map(|(peer, link)| {
            let apart = link.is_heard.then(|| apart(peer)).flatten();
            Behind { peer: *peer, they: apart.map(|(they, _)| they), we: apart.map(|(_, we)| we) }
        });
        heard.collect()
    }
}

/// How many transactions one has that the other has not, as far as numbers tell: both may keep the same
/// ones aside.
fn lead((one, one_holes): (u64, usize), (two, two_holes): (u64, usize)) -> u64 {
    let holes = two_holes.saturating_sub(one_holes);
    one.saturating_sub(two).saturating_add(u64::try_from(holes).unwrap_or(u64::MAX))
}
