//! What the engine holds: messages, their receivers, and offers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mesh_protocol::PeerId;

use super::HOLDERS_MAX;

/// A message that waits in the outbox.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) to: PeerId,
    pub(super) bytes: usize,
    /// Until when it is too young to be offered; none when it is old enough.
    pub(super) young_until: Option<Instant>,
    /// Who has said that it keeps a copy.
    pub(super) holders: BTreeSet<PeerId>,
    /// Whose answer is under way.
    pub(super) offered_to: BTreeSet<PeerId>,
    /// Whoever may keep a copy: holders, and those that were offered one and have not declined.
    pub(super) perhaps: BTreeSet<PeerId>,
    /// In whose queues it is.
    pub(super) queued_for: Vec<PeerId>,
}

impl Message {
    pub(super) const fn new(to: PeerId, bytes: usize, young_until: Option<Instant>) -> Self {
        Self {
            to,
            bytes,
            young_until,
            holders: BTreeSet::new(),
            offered_to: BTreeSet::new(),
            perhaps: BTreeSet::new(),
            queued_for: Vec::new(),
        }
    }

    /// How many custodians it is short of, those counted whose answer is under way.
    pub(super) fn lacks(&self, up: &BTreeSet<PeerId>, custodians: usize) -> usize {
        let holders = self.holders.iter().filter(|peer| up.contains(*peer)).count();
        custodians.saturating_sub(holders + self.offered_to.len())
    }

    /// Who of the candidates, best first, is to be offered the message next.
    pub(super) fn choose(
        &self,
        ranked: &[PeerId],
        up: &BTreeSet<PeerId>,
        custodians: usize,
    ) -> Vec<PeerId> {
        let wanted = self.lacks(up, custodians);
        let mut strangers = HOLDERS_MAX.saturating_sub(self.perhaps.len());
        let mut chosen = Vec::new();
        for peer in ranked {
            if chosen.len() == wanted {
                break;
            }
            if self.holders.contains(peer) || self.offered_to.contains(peer) {
                continue;
            }
            if !self.perhaps.contains(peer) {
                if strangers == 0 {
                    continue;
                }
                strangers -= 1;
            }
            chosen.push(*peer);
        }
        chosen
    }
}

/// A peer for which messages wait.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) messages: BTreeSet<u64>,
    pub(super) absence: Absence,
    /// Custodians that are left alone, and until when.
    pub(super) skipped: BTreeMap<PeerId, Instant>,
    /// Those that may be asked, in the order that belongs to this receiver.
    pub(super) ranked: Vec<PeerId>,
}

impl Receiver {
    pub(super) const fn new(absence: Absence) -> Self {
        Self { messages: BTreeSet::new(), absence, skipped: BTreeMap::new(), ranked: Vec::new() }
    }
}

/// Whether a receiver is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It is in reach.
    None,
    /// It may be back in a moment.
    Brief { until: Instant },
    /// Its messages are offered.
    Long,
}

/// The messages of one receiver on their way to one custodian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) to: PeerId,
    pub(super) custodian: PeerId,
}

/// What was offered together.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) lane: Lane,
    pub(super) sequences: Vec<u64>,
    /// Those of them that the custodian could not have before.
    pub(super) fresh: BTreeSet<u64>,
    pub(super) deadline: Instant,
}

/// What the engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A message is old enough.
    Old(u64),
    /// A receiver was away for long enough.
    Away(PeerId),
    /// An answer did not come.
    Unanswered(u64),
    /// A custodian may be asked again.
    Again(Lane),
}
