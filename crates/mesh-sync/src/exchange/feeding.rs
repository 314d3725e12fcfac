use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::{OriginHave, OriginId, PeerId};

use super::link::Link;
use super::stated::Stated;
use super::{Exchange, ExchangeOutput, Feed, Own};

/// What the own database had a while ago. What is newer may be on its way to a peer from others.
#[derive(Debug, Default)]
pub(super) struct Settled {
    old: BTreeMap<OriginId, u64>,
    young: Option<(Instant, BTreeMap<OriginId, u64>)>,
    changed_at: Option<Instant>,
}

impl Settled {
    /// The own database changes; `before` is what it had until then.
    fn change(&mut self, before: Option<&Own>, age: Duration, now: Instant) {
        self.grow_old(before, age, now);
        self.changed_at = Some(now);
    }

    /// What `own` has that was there at least `age` ago, or somewhat longer.
    fn at(&mut self, own: Option<&Own>, age: Duration, now: Instant) -> &BTreeMap<OriginId, u64> {
        self.grow_old(own, age, now);
        &self.old
    }

    fn grow_old(&mut self, own: Option<&Own>, age: Duration, now: Instant) {
        let uptos = || {
            let origins = own.into_iter().flat_map(|own| own.origins.values());
            origins.map(|have| (have.origin, have.upto)).collect()
        };
        if self.changed_at.is_none_or(|at| at + age <= now) {
            self.old = uptos();
            self.young = None;
        } else if self.young.as_ref().is_none_or(|(since, _)| *since + age <= now) {
            let young = self.young.replace((now, uptos()));
            self.old = young.map_or_else(|| std::mem::take(&mut self.old), |(_, uptos)| uptos);
        }
    }
}

/// What of one origin a peer has and is to have.
struct Stretch<'a> {
    have: u64,
    gaps: Option<&'a BTreeSet<u64>>,
    goal: u64,
}

impl Stretch<'_> {
    fn is_empty(&self) -> bool {
        let first = self.gaps.and_then(BTreeSet::first);
        self.goal <= self.have && first.is_none_or(|gap| *gap > self.goal)
    }
}

impl Exchange {
    /// What this link's feeder is to send; none when there is nothing.
    #[must_use]
    pub fn feed_of(&self, peer: PeerId) -> Option<Feed> {
        let (own, link, stated) = self.feedable(&peer)?;
        let mut feed = Feed::default();
        let mut is_empty = true;
        for have in own.origins.values().filter(|have| have.origin != stated.database) {
            let stretch = stretch(have, link, stated);
            is_empty &= stretch.is_empty();
            let gaps = stretch.gaps.into_iter().flatten().copied();
            feed.have.set(have.origin, stretch.have, gaps);
            let holes = have.holes.iter().filter(|hole| **hole <= stretch.goal).copied();
            feed.goal.set(have.origin, stretch.goal, holes);
        }
        (!is_empty).then_some(feed)
    }

    /// What is known of a peer that something may be sent to.
    fn feedable(&self, peer: &PeerId) -> Option<(&Own, &Link, &Stated)> {
        let (own, link) = (self.own.as_ref()?, self.links.get(peer)?);
        let stated = self.known.get(peer)?;
        let is_open = link.is_heard && stated.wants_changes && !self.is_renewing;
        // A peer that lacks what the log has forgotten could apply next to nothing: it takes a snapshot.
        let is_above_floors = || {
            let mut others = own.origins.values().filter(|have| have.origin != stated.database);
            others.all(|have| link.had(&have.origin, stated.upto(&have.origin)).0 >= have.floor)
        };
        (is_open && is_above_floors()).then_some((own, link, stated))
    }

    /// Wishes that a peer's feeder looks, if it would find something.
    pub(super) fn wake(&mut self, peer: PeerId) {
        if self.feed_of(peer).is_some() {
            self.outputs.push_back(ExchangeOutput::Feed { peer });
        }
    }

    /// The peer is to have everything that is here.
    pub(super) fn aim_at_everything(&mut self, peer: &PeerId) {
        let (Some(own), Some(link)) = (&self.own, self.links.get_mut(peer)) else { return };
        aim(link, own.origins.values().map(|have| (have.origin, have.upto)));
        self.wake(*peer);
    }

    /// The peer is to have everything that has been here for a while.
    pub(super) fn aim_at_settled(&mut self, peer: &PeerId, now: Instant) {
        let settled = self.settled.at(self.own.as_ref(), self.config.tell_after, now);
        let Some(link) = self.links.get_mut(peer) else { return };
        aim(link, settled.iter().map(|(origin, upto)| (*origin, *upto)));
        self.wake(*peer);
    }

    /// Origins of which the own database has something else than before.
    pub(super) fn changed_since(&self, before: Option<&Own>) -> Vec<OriginId> {
        let origins = self.own.iter().flat_map(|own| own.origins.values());
        let same = |have: &OriginHave| {
            before.is_some_and(|before| before.origins.get(&have.origin) == Some(have))
        };
        origins.filter(|have| !same(have)).map(|have| have.origin).collect()
    }

    /// Sees to it that what was just committed goes where it has to go at once.
    pub(super) fn hand_on(&mut self, before: Option<&Own>, changed: &[OriginId], now: Instant) {
        if !changed.is_empty() {
            self.settled.change(before, self.config.tell_after, now);
        }
        let mut goals: BTreeMap<PeerId, Vec<OriginId>> = BTreeMap::new();
        for origin in changed {
            let maker = self.member_of(origin);
            let peers = self.links.keys().filter(|peer| self.goes_at_once(origin, maker, peer));
            for peer in peers {
                goals.entry(*peer).or_default().push(*origin);
            }
        }
        for (peer, origins) in goals {
            let (Some(own), Some(link)) = (&self.own, self.links.get_mut(&peer)) else { continue };
            aim(link, origins.iter().map(|origin| (*origin, own.upto(origin))));
            let Some((own, link, stated)) = self.feedable(&peer) else { continue };
            let mut stretches = (origins.iter().filter(|origin| **origin != stated.database))
                .filter_map(|origin| own.origins.get(origin))
                .map(|have| stretch(have, link, stated));
            if stretches.any(|stretch| !stretch.is_empty()) {
                self.outputs.push_back(ExchangeOutput::Feed { peer });
            }
        }
    }

    /// Whether nobody else can be counted on to bring it.
    fn goes_at_once(&self, origin: &OriginId, maker: Option<PeerId>, peer: &PeerId) -> bool {
        if self.own.as_ref().is_some_and(|own| own.database == *origin) {
            return true;
        }
        let brings = |other: &PeerId| other == peer || self.are_linked(other, peer);
        let sources = self.sources.get(origin);
        let comes_by_source = sources.is_some_and(|sources| sources.iter().all(brings));
        !comes_by_source && !maker.as_ref().is_some_and(brings)
    }
}

fn aim(link: &mut Link, goals: impl Iterator<Item = (OriginId, u64)>) {
    for (origin, upto) in goals {
        let goal = link.goal.entry(origin).or_insert(0);
        *goal = upto.max(*goal);
    }
}

fn stretch<'a>(own: &OriginHave, link: &'a Link, stated: &Stated) -> Stretch<'a> {
    let (have, gaps) = link.had(&own.origin, stated.upto(&own.origin));
    let goal = link.goal.get(&own.origin).copied().unwrap_or(0).min(own.upto);
    // What is kept aside here cannot be sent, and without it the peer could not apply what follows.
    let hole = own.holes.iter().copied().filter(|hole| *hole > have).min();
    Stretch { have, gaps, goal: hole.map_or(goal, |hole| goal.min(hole - 1)) }
}
