//! Who says to reach whom, and the best ways that follow. Members are numbers here, their places in the
//! sorted list, so that a thousand of them are searched in a fraction of a millisecond.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_protocol::{HOPS_MAX, Neighbour, PeerId};

/// What a link without a known round trip is taken for in comparing ways.
const RTT_MICROS_ASSUMED: u64 = 50_000;

/// A link as one end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    to: usize,
    /// 0 when it is not known.
    rtt_micros: u32,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Every member but this node, sorted: the order of places is that of ids.
    members: Vec<PeerId>,
    /// What each member says, by place, each list sorted.
    claims: Vec<Vec<Claim>>,
    /// The links of this node, which count without the word of the other end.
    own: Vec<Claim>,
}

/// A way from this node to a member.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The places of those between, in order.
    via: Vec<usize>,
    rtt: RttSum,
}

/// The round trips of the links of a way.
#[derive(Clone, Copy, Debug, Default)]
struct RttSum {
    known_micros: Option<u64>,
    /// With the unknown ones assumed; this is what is compared.
    weight: u64,
}

impl RttSum {
    fn plus(self, rtt_micros: u32) -> Self {
        if rtt_micros == 0 {
            return Self { weight: self.weight + RTT_MICROS_ASSUMED, ..self };
        }
        let rtt_micros = u64::from(rtt_micros);
        Self {
            known_micros: Some(self.known_micros.unwrap_or(0) + rtt_micros),
            weight: self.weight + rtt_micros,
        }
    }
}

impl Path {
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt.known_micros.map(Duration::from_micros)
    }

    /// The same way, from its end on to the next member.
    fn onward(&self, end: usize, rtt: RttSum) -> Self {
        let via = self.via.iter().copied().chain([end]).collect();
        Self { via, rtt }
    }
}

/// The last link of a way that is being considered.
#[derive(Clone, Copy)]
struct Step<'a> {
    from: usize,
    path: &'a Path,
    rtt: RttSum,
}

impl Step<'_> {
    /// Both ways have the same number of links.
    fn is_better_than(&self, other: &Self) -> bool {
        let (weight, other_weight) = (self.rtt.weight, other.rtt.weight);
        weight < other_weight || weight == other_weight && self.members().lt(other.members())
    }

    fn members(&self) -> impl Iterator<Item = &usize> {
        self.path.via.iter().chain([&self.from])
    }
}

impl Graph {
    /// Starts anew with these members, of whom nothing is known.
    pub(super) fn of(members: Vec<PeerId>) -> Self {
        let claims = vec![Vec::new(); members.len()];
        Self { members, claims, own: Vec::new() }
    }

    /// Takes in what a member says. Returns whether anything changed.
    pub(super) fn claim(&mut self, origin: &PeerId, neighbours: &[Neighbour]) -> bool {
        let claims = self.claims_of(neighbours.iter().copied());
        let Some(known) = self.place(origin).and_then(|place| self.claims.get_mut(place)) else {
            return false;
        };
        let is_change = *known != claims;
        *known = claims;
        is_change
    }

    /// Takes in which links this node has. Returns whether anything changed.
    pub(super) fn claim_own(&mut self, neighbours: impl Iterator<Item = Neighbour>) -> bool {
        let claims = self.claims_of(neighbours);
        let is_change = self.own != claims;
        self.own = claims;
        is_change
    }

    /// Neighbours that are no members count for nothing.
    fn claims_of(&self, neighbours: impl Iterator<Item = Neighbour>) -> Vec<Claim> {
        neighbours
            .filter_map(|Neighbour { peer, rtt_micros }| {
                Some(Claim { to: self.place(&peer)?, rtt_micros })
            })
            .collect()
    }

    fn place(&self, peer: &PeerId) -> Option<usize> {
        self.members.binary_search(peer).ok()
    }

    /// The members of a way, in order.
    pub(super) fn names(&self, path: &Path) -> impl Iterator<Item = &PeerId> {
        path.via.iter().filter_map(|place| self.members.get(*place))
    }

    /// Every member with the best way to it: fewest links, then least round trip, then smallest ids.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&PeerId, Option<Path>)> {
        let mut paths: Vec<Option<Path>> = vec![None; self.members.len()];
        let mut frontier = Vec::new();
        for Claim { to, rtt_micros } in &self.own {
            if let Some(path) = paths.get_mut(*to) {
                let rtt = RttSum::default().plus(*rtt_micros);
                *path = Some(Path { via: Vec::new(), rtt });
                frontier.push(*to);
            }
        }
        for _ in 1..HOPS_MAX {
            let found = self.next_level(&frontier, &paths);
            frontier.clear();
            for (place, path) in found {
                if let Some(slot) = paths.get_mut(place) {
                    *slot = Some(path);
                    frontier.push(place);
                }
            }
        }
        self.members.iter().zip(paths)
    }

    /// The best ways to members without any so far that are one link longer than those of `frontier`.
    fn next_level(&self, frontier: &[usize], paths: &[Option<Path>]) -> BTreeMap<usize, Path> {
        let mut best: BTreeMap<usize, Step<'_>> = BTreeMap::new();
        for &from in frontier {
            let Some(Some(path)) = paths.get(from) else { continue };
            for claim in self.claims.get(from).into_iter().flatten() {
                let is_open = paths.get(claim.to).is_some_and(Option::is_none);
                let Some(rtt_micros) = is_open.then(|| self.confirmed(from, *claim)).flatten()
                else {
                    continue;
                };
                let step = Step { from, path, rtt: path.rtt.plus(rtt_micros) };
                if best.get(&claim.to).is_none_or(|known| step.is_better_than(known)) {
                    best.insert(claim.to, step);
                }
            }
        }
        let onward = |(to, step): (usize, Step<'_>)| (to, step.path.onward(step.from, step.rtt));
        best.into_iter().map(onward).collect()
    }

    /// The round trip of a link that its other end lists too; 0 when neither knows it.
    fn confirmed(&self, from: usize, claim: Claim) -> Option<u32> {
        let back = self.claims.get(claim.to)?;
        let index = back.binary_search_by_key(&from, |claim| claim.to).ok()?;
        back.get(index).map(|back| back.rtt_micros.max(claim.rtt_micros))
    }
}
