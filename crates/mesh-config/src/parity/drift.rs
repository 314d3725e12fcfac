//! Peers that stay different.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::PeerId;

use super::Parity;
use crate::ConfigKey;

/// Most keys of a peer that are kept in mind; the first ones in their order.
pub const DRIFT_KEYS_MAX: usize = 256;

/// Notices peers that stay different. Holds no clock: every moment is an argument.
///
/// While much is changed, two members always differ in what is on its way. Only keys that are different
/// whenever one looks count: when all that differed was mended in between, the time begins anew.
#[derive(Debug)]
pub struct Drift {
    differ_max: Duration,
    members: BTreeSet<PeerId>,
    peers: BTreeMap<PeerId, Differing>,
}

#[derive(Debug)]
struct Differing {
    since: Instant,
    keys: BTreeSet<ConfigKey>,
    is_told: bool,
}

/// What is to be said of a peer, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriftNews {
    /// It has been different for as long as is tolerated.
    Drifted {
        /// Who.
        peer: PeerId,
        /// For how long it has been seen to be different.
        since: Duration,
        /// The keys, at most [`DRIFT_KEYS_MAX`].
        keys: Vec<ConfigKey>,
    },
    /// It is equal again, after it was said to be different.
    Mended {
        /// Who.
        peer: PeerId,
        /// For how long it had been different.
        after: Duration,
    },
}

impl Drift {
    /// The time that peers are given when nobody set another one.
    pub const DIFFER_MAX: Duration = Duration::from_secs(300);

    /// Tolerates differences for `differ_max`.
    #[must_use]
    pub const fn new(differ_max: Duration) -> Self {
        Self { differ_max, members: BTreeSet::new(), peers: BTreeMap::new() }
    }

    /// Names the peers that count. Others are forgotten, and not taken up.
    pub fn set_members(&mut self, members: impl IntoIterator<Item = PeerId>) {
        self.members = members.into_iter().collect();
        self.peers.retain(|peer, _| self.members.contains(peer));
    }

    /// Takes up what a comparison with `peer` showed, and returns what is to be said of it. A peer that
    /// could not be asked is no news: nothing is to be handed in.
    pub fn observe(&mut self, peer: PeerId, seen: &Parity, now: Instant) -> Option<DriftNews> {
        if !self.members.contains(&peer) {
            return None;
        }
        if seen.is_in_sync() {
            let differed = self.peers.remove(&peer)?;
            let after = now.saturating_duration_since(differed.since);
            return differed.is_told.then_some(DriftNews::Mended { peer, after });
        }
        let keys = || seen.missing.iter().chain(&seen.extra).chain(&seen.different);
        let first = || keys().collect::<BTreeSet<_>>().into_iter().take(DRIFT_KEYS_MAX).cloned();
        let differing = self.peers.entry(peer).or_insert_with(|| Differing {
            since: now,
            keys: first().collect(),
            is_told: false,
        });
        let present: BTreeSet<&ConfigKey> = keys().collect();
        differing.keys.retain(|key| present.contains(key));
        if differing.keys.is_empty() {
            // One that was said to be different is so still: it has not been equal since.
            differing.keys = first().collect();
            if !differing.is_told {
                differing.since = now;
            }
        }
        let since = now.saturating_duration_since(differing.since);
        if differing.is_told || since < self.differ_max {
            return None;
        }
        differing.is_told = true;
        let keys = differing.keys.iter().cloned().collect();
        Some(DriftNews::Drifted { peer, since, keys })
    }

    /// The peers that were said to be different and have not been equal since.
    pub fn drifted(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().filter(|(_, differing)| differing.is_told).map(|(peer, _)| *peer)
    }
}
