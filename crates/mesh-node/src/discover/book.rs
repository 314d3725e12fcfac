//! What was found out about addresses. Both books are small, and forget the oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::{Address, PeerId};

/// Addresses that are remembered of one member.
pub(super) const LEARNED_MAX: usize = 4;

/// How long an address is held to lead to the member that was found there.
const FRESH: Duration = Duration::from_secs(600);

/// How long a stranger is left alone.
const STRANGER_FOR: Duration = Duration::from_secs(600);

/// Strangers that are remembered. Four rounds with nothing else fit.
pub(super) const STRANGERS_MAX: usize = 1024;

/// Where members were found, newest first.
#[derive(Debug, Default)]
pub(super) struct Learned {
    addresses: BTreeMap<PeerId, Vec<(Address, Instant)>>,
}

impl Learned {
    /// The member answers at `address`, so nobody else does.
    pub(super) fn learn(&mut self, peer: PeerId, address: Address, now: Instant) {
        for known in self.addresses.values_mut() {
            known.retain(|(other, _)| *other != address);
        }
        let known = self.addresses.entry(peer).or_default();
        known.insert(0, (address, now));
        known.truncate(LEARNED_MAX);
        self.addresses.retain(|_, known| !known.is_empty());
    }

    /// Where the member was found, newest first.
    pub(super) fn addresses(&self, peer: &PeerId) -> Vec<Address> {
        let known = self.addresses.get(peer).into_iter().flatten();
        known.map(|(address, _)| address.clone()).collect()
    }

    /// Whether somebody who is not `missing` was found at `address` not long ago.
    pub(super) fn is_of_other(
        &self,
        address: &Address,
        missing: &BTreeSet<PeerId>,
        now: Instant,
    ) -> bool {
        let others = self.addresses.iter().filter(|(peer, _)| !missing.contains(*peer));
        others
            .flat_map(|(_, known)| known)
            .any(|(known, at)| known == address && now.saturating_duration_since(*at) < FRESH)
    }

    /// Forgets everybody but `members`.
    pub(super) fn retain(&mut self, members: &BTreeSet<PeerId>) {
        self.addresses.retain(|peer, _| members.contains(peer));
    }
}

/// Addresses where somebody answers who is no member.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    until: BTreeMap<Address, Instant>,
}

impl Strangers {
    /// Leaves whoever is at `address` alone for a while.
    pub(super) fn note(&mut self, address: Address, now: Instant) {
        self.until.retain(|_, until| *until > now);
        self.until.insert(address, now + STRANGER_FOR);
        if self.until.len() > STRANGERS_MAX {
            let oldest = self.until.iter().min_by_key(|(_, until)| **until);
            if let Some(address) = oldest.map(|(address, _)| address.clone()) {
                self.until.remove(&address);
            }
        }
    }

    /// Whether whoever is at `address` is to be left alone.
    pub(super) fn contains(&self, address: &Address, now: Instant) -> bool {
        self.until.get(address).is_some_and(|until| *until > now)
    }

    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        self.until.clear();
    }
}

#[cfg(test)]
mod tests;
