//! Several targets of one push: who gets which chunks from whom, and what follows for the sessions.

use std::collections::{BTreeMap, BTreeSet};

use mesh_files::{Assignment, Distribution, DistributionConfig, RangeSet, Server};
use mesh_protocol::{ChunkRange, ChunkRanges, ChunkSource, PeerId};

use super::serving::Ask;
use super::session::Command;

/// What is known of what one target asked for on its stream.
#[derive(Debug, Default)]
struct Wants {
    asked: RangeSet,
    sent: RangeSet,
    has: RangeSet,
    /// Portions that it is getting, and where.
    gets: BTreeMap<u64, (Server, ChunkRange)>,
}

/// Hands out portions.
#[derive(Debug)]
pub(super) struct Spread {
    distribution: Distribution,
    wants: BTreeMap<PeerId, Wants>,
    linked: BTreeMap<PeerId, Vec<PeerId>>,
    /// Who has put everything in place, and serves it without a stream of ours.
    finished: BTreeSet<PeerId>,
}

impl Spread {
    pub(super) fn new(
        chunks: u64,
        targets: impl IntoIterator<Item = PeerId>,
        config: DistributionConfig,
    ) -> Self {
        let distribution = Distribution::new(chunks, targets, config);
        Self {
            distribution,
            wants: BTreeMap::new(),
            linked: BTreeMap::new(),
            finished: BTreeSet::new(),
        }
    }

    /// A target's stream has begun.
    pub(super) fn begin(&mut self, peer: PeerId) {
        self.end(peer);
        self.distribution.forget(peer);
        self.distribution.reach(peer, true);
        self.wants.insert(peer, Wants::default());
    }

    /// It has ended; whoever confirmed serves others all the same.
    pub(super) fn end(&mut self, peer: PeerId) {
        self.distribution.reach(peer, false);
        self.distribution.reach(peer, self.finished.contains(&peer));
        self.wants.remove(&peer);
    }

    /// A target has put everything in place: it lacks nothing, and serves others.
    pub(super) fn finish(&mut self, peer: PeerId) {
        self.finished.insert(peer);
        self.end(peer);
    }

    /// Whom a target is linked with. Those who failed to serve it are tried again when that changes.
    pub(super) fn links(&mut self, peer: PeerId, linked: Vec<PeerId>) {
        if self.linked.get(&peer) == Some(&linked) {
            return;
        }
        self.linked.insert(peer, linked.clone());
        // All of them are taken for equally far: what is known of the way between two others is old.
        self.distribution.links(peer, linked.into_iter().map(|other| (other, 1)).collect());
    }

    /// A target lacks these. What it asked for before did not come: it is not sent there again by whoever failed.
    pub(super) fn need(&mut self, peer: PeerId, chunks: &ChunkRanges) -> Option<Command> {
        let wants = self.wants.get_mut(&peer)?;
        let mut again = ChunkRanges::default();
        let mut failed = Vec::new();
        for range in chunks.iter() {
            if wants.asked.contains(range.first) {
                let meets = |at: &ChunkRange| at.first < range.end() && range.first < at.end();
                let met = wants.gets.iter().filter(|(_, (_, at))| meets(at));
                let from_others = met.filter(|(_, (server, _))| *server != Server::Sender);
                let before = failed.len();
                failed.extend(from_others.map(|(portion, _)| *portion));
                if failed.len() == before {
                    again.push(range);
                }
            }
            wants.asked.insert(range);
        }
        for portion in failed {
            wants.gets.remove(&portion);
            self.distribution.failed(peer, portion);
        }
        self.distribution.needs(peer, chunks);
        (!again.is_empty()).then_some(Command::Ask(Ask::Chunks(again, None)))
    }

    /// A target has these, verified.
    pub(super) fn have(&mut self, peer: PeerId, chunks: &ChunkRanges) {
        self.distribution.has(peer, chunks);
        let Some(wants) = self.wants.get_mut(&peer) else { return };
        wants.has.extend(chunks.iter());
        let got: Vec<u64> = wants
            .gets
            .iter()
            .filter(|(_, (_, at))| {
                lacking(&wants.asked, *at, &[&wants.has]).is_some_and(|rest| rest.is_empty())
            })
            .map(|(portion, _)| *portion)
            .collect();
        for portion in got {
            wants.gets.remove(&portion);
            self.distribution.served(peer, portion);
        }
    }

    /// Everything of a portion that a target had asked for is on its way.
    pub(super) fn served(&mut self, peer: PeerId, portion: u64) -> Option<Command> {
        let wants = self.wants.get_mut(&peer)?;
        let (_, at) = *wants.gets.get(&portion)?;
        // It may have asked for more of it meanwhile.
        if let Some(command) = send(wants, portion, at) {
            return Some(command);
        }
        wants.gets.remove(&portion);
        self.distribution.served(peer, portion);
        None
    }

    /// Nobody is waited for any longer that was sent something and does not say to have it.
    pub(super) fn doubt(&mut self) {
        self.distribution.doubt();
    }

    /// What the sessions are to do next.
    pub(super) fn plan(&mut self) -> Vec<(PeerId, Command)> {
        let mut commands = Vec::new();
        loop {
            let assignments = self.distribution.plan();
            if assignments.is_empty() {
                return commands;
            }
            for Assignment { target, server, portion, chunks } in assignments {
                let Some(wants) = self.wants.get_mut(&target) else { continue };
                wants.gets.insert(portion, (server, chunks));
                // On a stream before this one it may have asked for more.
                let is_wanted = lacking(&wants.asked, chunks, &[&wants.has])
                    .is_some_and(|rest| !rest.is_empty());
                let command = match server {
                    Server::Target(from) => {
                        is_wanted.then_some(Command::Source(ChunkSource { from, chunks }))
                    }
                    Server::Sender => send(wants, portion, chunks),
                };
                match command {
                    Some(command) => commands.push((target, command)),
                    None => {
                        wants.gets.remove(&portion);
                        self.distribution.served(target, portion);
                    }
                }
            }
        }
    }
}

/// Sends what was asked for of a portion and neither sent nor there; nothing when there is nothing.
fn send(wants: &mut Wants, portion: u64, at: ChunkRange) -> Option<Command> {
    let rest = lacking(&wants.asked, at, &[&wants.sent, &wants.has])?;
    wants.sent.extend(rest.iter());
    (!rest.is_empty()).then_some(Command::Ask(Ask::Chunks(rest, Some(portion))))
}

/// What of `asked` lies in `at` and in none of `got`.
fn lacking(asked: &RangeSet, at: ChunkRange, got: &[&RangeSet]) -> Option<ChunkRanges> {
    let mut rest = ChunkRanges::default();
    for number in at.first..at.end() {
        let is_lacking = asked.contains(number) && !got.iter().any(|set| set.contains(number));
        if is_lacking && !rest.push(ChunkRange { first: number, count: 1 }) {
            return None;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests;
