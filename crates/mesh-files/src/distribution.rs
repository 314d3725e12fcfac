use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{ChunkRange, ChunkRanges, NEIGHBOURS_MAX, PUSH_TARGETS_MAX, PeerId};

use crate::RangeSet;

/// Most portions that a push is distributed in.
pub const PORTIONS_MAX: u64 = 4096;

/// Bits of portions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(portions: u64) -> Self {
        Self(vec![0; usize::try_from(portions.div_ceil(64)).unwrap_or(0)])
    }

    fn set(&mut self, portion: u64, is_set: bool) {
        let word = usize::try_from(portion / 64).ok().and_then(|at| self.0.get_mut(at));
        if let Some(word) = word {
            let bit = 1 << (portion % 64);
            *word = if is_set { *word | bit } else { *word & !bit };
        }
    }

    fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    fn take(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// The first portion.
    fn first(&self) -> Option<u64> {
        let (at, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(at as u64 * 64 + u64::from(word.trailing_zeros()))
    }
}

/// Bounds on what goes on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DistributionConfig {
    /// Most portions that the sender serves at once.
    pub sender_serves_max: usize,
    /// Most portions that a target serves at once.
    pub target_serves_max: usize,
    /// Most portions that a target gets at once.
    pub target_takes_max: usize,
}

impl Default for DistributionConfig {
    fn default() -> Self {
        Self { sender_serves_max: 8, target_serves_max: 4, target_takes_max: 4 }
    }
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The sender.
    Sender,
    /// A target that has it.
    Target(PeerId),
}

/// Who gets what from whom: whatever of these chunks it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Who gets it.
    pub target: PeerId,
    /// From whom.
    pub server: Server,
    /// The portion's number.
    pub portion: u64,
    /// The portion.
    pub chunks: ChunkRange,
}

#[derive(Debug)]
struct Target {
    is_reachable: bool,
    /// Whom it is linked with, and what that costs.
    links: BTreeMap<PeerId, u32>,
    /// Who failed to serve it.
    shunned: BTreeSet<PeerId>,
    has: RangeSet,
    has_whole: Bits,
    needs: Bits,
    /// What it is getting.
    gets: BTreeMap<u64, Server>,
    getting: Bits,
    /// What the sender has sent it, and it has not said to have: it is about to.
    sent: Bits,
    serves: usize,
}

/// Decides, at the sender, which target gets which portion from whom. The sender hands out each portion once;
/// whoever has one serves others. It serves one again when nobody else can.
///
/// Portions are runs of chunks, at most [`PORTIONS_MAX`] of them, so that what is known of a thousand targets
/// stays small. Equal inputs give equal outputs.
#[derive(Debug)]
pub struct Distribution {
    config: DistributionConfig,
    chunks: u64,
    portion_chunks: u64,
    targets: BTreeMap<PeerId, Target>,
    /// What the sender has handed out.
    handed_out: Bits,
    sender_serves: usize,
}

impl Distribution {
    /// Starts a push of so many chunks. More than [`PUSH_TARGETS_MAX`] targets are not taken.
    #[must_use]
    pub fn new(
        chunks: u64,
        targets: impl IntoIterator<Item = PeerId>,
        config: DistributionConfig,
    ) -> Self {
        let portion_chunks = chunks.div_ceil(PORTIONS_MAX).max(1);
        let portions = chunks.div_ceil(portion_chunks);
        let target = || Target {
            is_reachable: false,
            links: BTreeMap::new(),
            shunned: BTreeSet::new(),
            has: RangeSet::default(),
            has_whole: Bits::new(portions),
            needs: Bits::new(portions),
            gets: BTreeMap::new(),
            getting: Bits::new(portions),
            sent: Bits::new(portions),
            serves: 0,
        };
        let targets = targets.into_iter().take(PUSH_TARGETS_MAX).map(|peer| (peer, target()));
        Self {
            config,
            chunks,
            portion_chunks,
            targets: targets.collect(),
            handed_out: Bits::new(portions),
            sender_serves: 0,
        }
    }

    /// A target is reached, or is not any more. What it was getting or serving is planned anew.
    pub fn reach(&mut self, peer: PeerId, is_reachable: bool) {
        let portions = self.portions();
        if let Some(target) = self.targets.get_mut(&peer) {
            target.is_reachable = is_reachable;
            target.sent = Bits::new(portions);
        }
        if is_reachable {
            return;
        }
        let mut lost: Vec<(PeerId, u64)> = Vec::new();
        for (other, target) in &self.targets {
            let is_lost = |server: &Server| *other == peer || *server == Server::Target(peer);
            let gets = target.gets.iter().filter(|(_, server)| is_lost(server));
            lost.extend(gets.map(|(portion, _)| (*other, *portion)));
        }
        for (target, portion) in lost {
            self.release(target, portion);
        }
    }

    /// A target says anew what it has and what it lacks: one that was killed may lack what it had said to have.
    pub fn forget(&mut self, peer: PeerId) {
        let portions = self.portions();
        if let Some(target) = self.targets.get_mut(&peer) {
            target.has = RangeSet::default();
            target.has_whole = Bits::new(portions);
            target.needs = Bits::new(portions);
        }
    }

    /// Whom a target is linked with, and what that costs: only these can serve it. Those who failed are tried
    /// again.
    pub fn links(&mut self, peer: PeerId, links: BTreeMap<PeerId, u32>) {
        if let Some(target) = self.targets.get_mut(&peer) {
            target.links = links
                .into_iter()
                .filter(|(other, _)| *other != peer)
                .take(NEIGHBOURS_MAX)
                .collect();
            target.shunned.clear();
        }
    }

    /// A target lacks these chunks.
    pub fn needs(&mut self, peer: PeerId, chunks: &ChunkRanges) {
        let portions: Vec<u64> = chunks.iter().flat_map(|range| self.portions_of(range)).collect();
        let Some(target) = self.targets.get_mut(&peer) else { return };
        for portion in portions {
            target.needs.set(portion, true);
        }
        target.needs.take(&target.has_whole);
    }

    /// A target has these chunks, verified.
    pub fn has(&mut self, peer: PeerId, chunks: &ChunkRanges) {
        let portions: Vec<u64> = chunks.iter().flat_map(|range| self.portions_of(range)).collect();
        let ranges: Vec<(u64, ChunkRange)> =
            portions.into_iter().map(|portion| (portion, self.chunks_of(portion))).collect();
        let Some(target) = self.targets.get_mut(&peer) else { return };
        target.has.extend(chunks.iter());
        let whole: Vec<u64> = ranges
            .into_iter()
            .filter(|(_, range)| target.has.covers(*range))
            .map(|(portion, _)| portion)
            .collect();
        for portion in whole {
            if let Some(target) = self.targets.get_mut(&peer) {
                target.has_whole.set(portion, true);
                target.needs.set(portion, false);
                target.sent.set(portion, false);
            }
            self.release(peer, portion);
        }
    }

    /// A target got whatever of a portion it had asked for.
    pub fn served(&mut self, peer: PeerId, portion: u64) {
        if let Some(target) = self.targets.get_mut(&peer) {
            target.needs.set(portion, false);
            if target.gets.get(&portion) == Some(&Server::Sender) {
                target.sent.set(portion, true);
                target.sent.take(&target.has_whole);
            }
        }
        self.release(peer, portion);
    }

    /// A target did not get a portion. It is not sent to that server again, unless that is the sender.
    pub fn failed(&mut self, peer: PeerId, portion: u64) {
        let Some(target) = self.targets.get_mut(&peer) else { return };
        if let Some(Server::Target(server)) = target.gets.get(&portion) {
            target.shunned.insert(*server);
        }
        self.release(peer, portion);
    }

    /// Nobody is believed any more to be about to say that it has what it was sent: one that never does would keep
    /// others waiting. To be called now and then.
    pub fn doubt(&mut self) {
        let portions = self.portions();
        for target in self.targets.values_mut() {
            target.sent = Bits::new(portions);
        }
    }

    /// Gives everybody something to do who can do something more.
    pub fn plan(&mut self) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        let peers: Vec<PeerId> = self.targets.keys().copied().collect();
        // One each in turn, so that nobody is first with everything.
        for _ in 0..self.config.target_takes_max {
            for peer in &peers {
                assignments.extend(self.assign(*peer));
            }
        }
        assignments
    }

    fn assign(&mut self, peer: PeerId) -> Option<Assignment> {
        let target = self.targets.get(&peer)?;
        if !target.is_reachable || target.gets.len() >= self.config.target_takes_max {
            return None;
        }
        let mut wanted = target.needs.clone();
        wanted.take(&target.getting);
        wanted.first()?;
        let (server, portion) =
            self.by_target(target, &wanted).or_else(|| self.by_sender(target, wanted))?;
        let target = self.targets.get_mut(&peer)?;
        target.gets.insert(portion, server);
        target.getting.set(portion, true);
        match server {
            Server::Sender => {
                self.sender_serves += 1;
                self.handed_out.set(portion, true);
            }
            Server::Target(server) => self.targets.get_mut(&server)?.serves += 1,
        }
        Some(Assignment { target: peer, server, portion, chunks: self.chunks_of(portion) })
    }

    /// Those who can serve a target, now or later.
    fn servers_of<'t>(
        &'t self,
        target: &'t Target,
    ) -> impl Iterator<Item = (u32, PeerId, &'t Target)> {
        let known = target.links.iter().filter(|(peer, _)| !target.shunned.contains(peer));
        known
            .filter_map(|(peer, cost)| Some((*cost, *peer, self.targets.get(peer)?)))
            .filter(|(_, _, server)| server.is_reachable)
    }

    fn by_target(&self, target: &Target, wanted: &Bits) -> Option<(Server, u64)> {
        let free = |server: &Target| server.serves < self.config.target_serves_max;
        let mut servers: Vec<_> =
            self.servers_of(target).filter(|(_, _, server)| free(server)).collect();
        servers.sort_by_key(|(cost, peer, server)| (server.serves, *cost, *peer));
        servers.into_iter().find_map(|(_, peer, server)| {
            let mut common = wanted.clone();
            common.keep(&server.has_whole);
            Some((Server::Target(peer), common.first()?))
        })
    }

    fn by_sender(&self, target: &Target, wanted: Bits) -> Option<(Server, u64)> {
        if self.sender_serves >= self.config.sender_serves_max {
            return None;
        }
        let mut fresh = wanted.clone();
        fresh.take(&self.handed_out);
        if let Some(portion) = fresh.first() {
            return Some((Server::Sender, portion));
        }
        // What somebody can serve who has it or is getting it is worth waiting for.
        let mut orphaned = wanted;
        for (_, _, server) in self.servers_of(target) {
            orphaned.take(&server.has_whole);
            orphaned.take(&server.getting);
            orphaned.take(&server.sent);
        }
        orphaned.first().map(|portion| (Server::Sender, portion))
    }

    fn release(&mut self, peer: PeerId, portion: u64) {
        let Some(target) = self.targets.get_mut(&peer) else { return };
        target.getting.set(portion, false);
        match target.gets.remove(&portion) {
            Some(Server::Sender) => self.sender_serves = self.sender_serves.saturating_sub(1),
            Some(Server::Target(server)) => {
                if let Some(server) = self.targets.get_mut(&server) {
                    server.serves = server.serves.saturating_sub(1);
                }
            }
            None => {}
        }
    }

    /// How many there are.
    const fn portions(&self) -> u64 {
        self.chunks.div_ceil(self.portion_chunks)
    }

    fn chunks_of(&self, portion: u64) -> ChunkRange {
        let first = (portion * self.portion_chunks).min(self.chunks);
        ChunkRange { first, count: self.portion_chunks.min(self.chunks - first) }
    }

    fn portions_of(&self, range: ChunkRange) -> impl Iterator<Item = u64> + use<> {
        let (first, end) = (range.first.min(self.chunks), range.end().min(self.chunks));
        first / self.portion_chunks..end.div_ceil(self.portion_chunks)
    }
}

#[cfg(test)]
mod tests;
