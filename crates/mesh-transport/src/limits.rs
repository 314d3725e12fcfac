//! Who may come in, and how often. Pure: no socket, no clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(test)]
mod tests;

/// Addresses that have a bucket of their own at one time. Beyond them nobody new is let through, which
/// lasts for one refill: a bucket that is full again is forgotten.
const ORIGINS_MAX: usize = 4096;

/// What shares a limit: one IPv4 address, or the /64 that one IPv6 customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    V4(Ipv4Addr),
    V6Prefix(u64),
}

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6Prefix(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[derive(Debug)]
struct Taken<K> {
    total: usize,
    per_key: BTreeMap<K, usize>,
}

#[derive(Debug)]
struct Room<K> {
    total_max: usize,
    per_key_max: usize,
    taken: Mutex<Taken<K>>,
}

impl<K> Room<K> {
    fn taken(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bounded number of places, and a bounded part of them for each key. Whoever comes when they are
/// taken is turned away; those who are in stay.
#[derive(Debug)]
pub(crate) struct Places<K: Ord + Copy> {
    room: Arc<Room<K>>,
}

impl<K: Ord + Copy> Places<K> {
    pub(crate) fn new(total_max: usize, per_key_max: usize) -> Self {
        let taken = Mutex::new(Taken { total: 0, per_key: BTreeMap::new() });
        Self { room: Arc::new(Room { total_max, per_key_max, taken }) }
    }

    pub(crate) fn admit(&self, key: K) -> Option<Place<K>> {
        let mut taken = self.room.taken();
        let of_key = taken.per_key.get(&key).copied().unwrap_or(0);
        if taken.total >= self.room.total_max || of_key >= self.room.per_key_max {
            return None;
        }
        taken.total += 1;
        taken.per_key.insert(key, of_key + 1);
        Some(Place { room: Arc::clone(&self.room), key })
    }
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Ord + Copy> {
    room: Arc<Room<K>>,
    key: K,
}

impl<K: Ord + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.total = taken.total.saturating_sub(1);
        let of_key = taken.per_key.get(&self.key).copied().unwrap_or(0);
        if of_key > 1 {
            taken.per_key.insert(self.key, of_key - 1);
        } else {
            taken.per_key.remove(&self.key);
        }
    }
}

/// Token buckets, one per origin. Time comes from outside: each [`Self::refill`] gives one token back.
#[derive(Debug)]
pub(crate) struct Buckets {
    burst: u32,
    spent: BTreeMap<Origin, u32>,
}

impl Buckets {
    pub(crate) const fn new(burst: u32) -> Self {
        Self { burst, spent: BTreeMap::new() }
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(&mut self, origin: Origin) -> bool {
        let spent = self.spent.get(&origin).copied();
        if spent.is_none() && self.spent.len() >= ORIGINS_MAX {
            return false;
        }
        let spent = spent.unwrap_or(0);
        if spent >= self.burst {
            return false;
        }
        self.spent.insert(origin, spent + 1);
        true
    }

    /// Gives one token back to everybody and forgets the buckets that are full.
    pub(crate) fn refill(&mut self) {
        self.spent.retain(|_, spent| {
            *spent = spent.saturating_sub(1);
            *spent > 0
        });
    }

    /// Whether every bucket is full, so that a refill would change nothing.
    pub(crate) fn is_full(&self) -> bool {
        self.spent.is_empty()
    }
}
