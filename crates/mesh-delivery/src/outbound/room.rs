use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::PeerId;

use crate::QueueFull;

/// Room in the outbox for one message, taken before the commit. Goes back to the engine in any case,
/// with [`Input::Committed`](crate::Input::Committed) or [`Outbound::release`](crate::Outbound::release):
/// one that is dropped keeps its room taken until the next start.
#[must_use = "room that is not given back stays taken"]
#[derive(Debug)]
pub struct Reservation {
    number: u64,
    recipients: Vec<PeerId>,
    bytes_each: u64,
}

impl Reservation {
    const fn bytes(&self) -> u64 {
        self.bytes_each.saturating_mul(self.recipients.len() as u64)
    }
}

/// Counts what the outbox holds and what is promised, against the bounds.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) messages_max: usize,
    pub(super) bytes_max: u64,
    peer_messages_max: usize,
    pub(super) stored: Amount,
    pub(super) reserved: Amount,
    /// Peers for which something is stored or reserved.
    peers: BTreeMap<PeerId, PeerRoom>,
    next_number: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amount {
    pub(super) messages: usize,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct PeerRoom {
    stored: usize,
    reserved: usize,
    /// Reservations below this number are older than the peer's removal.
    refused_below: u64,
}

impl Room {
    pub(super) const fn new(messages_max: usize, bytes_max: u64, peer_messages_max: usize) -> Self {
        const NOTHING: Amount = Amount { messages: 0, bytes: 0 };
        Self {
            messages_max,
            bytes_max,
            peer_messages_max,
            stored: NOTHING,
            reserved: NOTHING,
            peers: BTreeMap::new(),
            next_number: 0,
        }
    }

    pub(super) fn reserve(
        &mut self,
        recipients: &[PeerId],
        bytes_each: usize,
    ) -> Result<Reservation, QueueFull> {
        let reservation = Reservation {
            number: self.next_number,
            recipients: recipients.to_vec(),
            bytes_each: bytes_each as u64,
        };
        self.check(&reservation)?;
        self.next_number += 1;
        self.reserved.messages += recipients.len();
        self.reserved.bytes = self.reserved.bytes.saturating_add(reservation.bytes());
        for peer in recipients {
            self.peers.entry(*peer).or_default().reserved += 1;
        }
        Ok(reservation)
    }

    fn check(&self, wanted: &Reservation) -> Result<(), QueueFull> {
        let messages = self.stored.messages + self.reserved.messages + wanted.recipients.len();
        if messages > self.messages_max {
            return Err(QueueFull::Messages { messages_max: self.messages_max });
        }
        let bytes = self.stored.bytes.saturating_add(self.reserved.bytes);
        if bytes.saturating_add(wanted.bytes()) > self.bytes_max {
            return Err(QueueFull::Bytes { bytes_max: self.bytes_max });
        }
        let mut wanted_of: BTreeMap<PeerId, usize> = BTreeMap::new();
        for peer in &wanted.recipients {
            let count = wanted_of.entry(*peer).or_default();
            *count += 1;
            let taken = self.peers.get(peer).map_or(0, |room| room.stored + room.reserved);
            if taken + *count > self.peer_messages_max {
                let messages_max = self.peer_messages_max;
                return Err(QueueFull::PeerMessages { peer: *peer, messages_max });
            }
        }
        Ok(())
    }

    /// Gives a reservation back and names those of its recipients that were removed since.
    pub(super) fn release(&mut self, reservation: Reservation) -> BTreeSet<PeerId> {
        self.reserved.messages =
            self.reserved.messages.saturating_sub(reservation.recipients.len());
        self.reserved.bytes = self.reserved.bytes.saturating_sub(reservation.bytes());
        let mut removed = BTreeSet::new();
        for peer in reservation.recipients {
            let Some(room) = self.peers.get_mut(&peer) else { continue };
            if reservation.number < room.refused_below {
                removed.insert(peer);
            }
            room.reserved = room.reserved.saturating_sub(1);
            self.forget_if_empty(peer);
        }
        removed
    }

    /// Makes [`Room::release`] name this peer for every reservation that is open.
    pub(super) fn refuse_reserved(&mut self, peer: PeerId) {
        if let Some(room) = self.peers.get_mut(&peer) {
            room.refused_below = self.next_number;
        }
    }

    pub(super) fn add(&mut self, peer: PeerId, bytes: usize) {
        self.stored.messages += 1;
        self.stored.bytes = self.stored.bytes.saturating_add(bytes as u64);
        self.peers.entry(peer).or_default().stored += 1;
    }

    pub(super) fn remove(&mut self, peer: PeerId, bytes: usize) {
        self.stored.messages = self.stored.messages.saturating_sub(1);
        self.stored.bytes = self.stored.bytes.saturating_sub(bytes as u64);
        if let Some(room) = self.peers.get_mut(&peer) {
            room.stored = room.stored.saturating_sub(1);
            self.forget_if_empty(peer);
        }
    }

    fn forget_if_empty(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|room| room.stored == 0 && room.reserved == 0) {
            self.peers.remove(&peer);
        }
    }

    /// How many messages are stored for each peer that has any.
    pub(super) fn stored_of_peers(&self) -> BTreeMap<PeerId, usize> {
        let stored = self.peers.iter().map(|(peer, room)| (*peer, room.stored));
        stored.filter(|(_, stored)| *stored > 0).collect()
    }
}
