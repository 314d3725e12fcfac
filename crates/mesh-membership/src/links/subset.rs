use std::cmp::Reverse;
use std::collections::BTreeSet;

use mesh_protocol::{NEIGHBOURS_MAX, PeerId};

use crate::chance::scatter;

/// Whom `me` keeps links with in a mesh that is too large for links between all. A function of the set
/// of members alone (`me` counts as one), so the two ends of a pair come to the same answer.
///
/// The members stand on several rings, in an order that a hash of ring and peer gives; neighbours on
/// any ring keep a link. Each ring alone connects everybody, and several in unrelated orders leave
/// short ways between any two and many ways around whoever is down.
///
/// Nobody gets more than `degree` links, and hardly anybody fewer (an odd `degree` counts as the even
/// number below it, less than 2 as 2, more than [`NEIGHBOURS_MAX`] as that). A member that comes or
/// goes changes at most three links per ring: the new one's two, and the one that they replace.
#[must_use]
pub fn neighbours(me: PeerId, members: &BTreeSet<PeerId>, degree: usize) -> BTreeSet<PeerId> {
    let rings = (degree / 2).clamp(1, NEIGHBOURS_MAX / 2);
    let mut chosen = BTreeSet::new();
    for ring in (0_u64..).take(rings) {
        chosen.extend(beside(me, members, ring).into_iter().flatten());
    }
    chosen
}

/// Predecessor and successor on one ring; the same peer twice when there are but two.
fn beside(me: PeerId, members: &BTreeSet<PeerId>, ring: u64) -> [Option<PeerId>; 2] {
    let mine = (place_on(ring, me), me);
    let (mut before, mut after) = (None, None);
    for peer in members.iter().filter(|peer| **peer != me) {
        let place = (place_on(ring, *peer), *peer);
        // The nearest place on the proper side wins; when that side is empty, the ring's far end.
        let back = (place < mine, place);
        let forth = (place > mine, Reverse(place));
        before = before.max(Some(back));
        after = after.max(Some(forth));
    }
    [before.map(|(_, (_, peer))| peer), after.map(|(_, Reverse((_, peer)))| peer)]
}

/// Whoever makes keys until one has a place to its liking gains a neighbour, which any member may have.
fn place_on(ring: u64, peer: PeerId) -> u64 {
    let words = peer.as_bytes().chunks_exact(8);
    words.fold(scatter(ring), |place, word| {
        let word = word.try_into().map_or(0, u64::from_be_bytes);
        scatter(place ^ word)
    })
}

#[cfg(test)]
mod tests;
