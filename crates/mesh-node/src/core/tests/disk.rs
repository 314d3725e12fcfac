//! What a member keeps over a crash: outbox, inbox and what it keeps for others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_delivery::{End, Entry, Priority};
use mesh_protocol::{
    DeliverItem, DeliverOutcome, ErrorCode, MessageId, Parcel, PeerId, UnixMillis,
};
use mesh_store::CustodyRow;

/// Parcels of one sender that a custodian keeps.
pub(super) const CUSTODY_QUOTA: usize = 300;

/// Rows are deleted lazily: a crash brings those back that ended so shortly before it.
const DELETED_AFTER: Duration = Duration::from_secs(1);

/// A row, and when its message ended.
#[derive(Clone, Debug)]
pub(super) struct Row<T> {
    pub(super) value: T,
    pub(super) ended_at: Option<Instant>,
}

impl<T> Row<T> {
    const fn new(value: T) -> Self {
        Self { value, ended_at: None }
    }
}

/// What arrived, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) from: PeerId,
    pub(super) message_id: MessageId,
    pub(super) priority: u8,
    pub(super) sequence: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) outbox: BTreeMap<u64, Row<Entry>>,
    /// How messages of the outbox ended.
    pub(super) ended: BTreeMap<(MessageId, PeerId), End>,
    pub(super) inbox: Vec<Arrived>,
    seen: BTreeSet<(PeerId, MessageId)>,
    pub(super) custody: BTreeMap<u64, Row<(CustodyRow, Parcel)>>,
}

fn live<T>(rows: &BTreeMap<u64, Row<T>>) -> impl Iterator<Item = &T> {
    rows.values().filter(|row| row.ended_at.is_none()).map(|row| &row.value)
}

impl Disk {
    /// Messages that have not ended.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Entry> {
        live(&self.outbox)
    }

    /// What is kept for others.
    pub(super) fn kept(&self) -> impl Iterator<Item = &(CustodyRow, Parcel)> {
        live(&self.custody)
    }

    /// Undoes what was not written yet.
    pub(super) fn crash(&mut self, now: Instant) {
        let is_written = |at: &Instant| *at + DELETED_AFTER <= now;
        for row in self.outbox.values_mut() {
            row.ended_at = row.ended_at.filter(is_written);
            if row.ended_at.is_none() {
                self.ended.remove(&(row.value.message_id, row.value.to));
            }
        }
        for row in self.custody.values_mut() {
            row.ended_at = row.ended_at.filter(is_written);
        }
    }

    /// Commits a message to the outbox, one row for each receiver.
    pub(super) fn append(
        &mut self,
        me: usize,
        to: &[PeerId],
        priority: Priority,
        expires_at: UnixMillis,
    ) -> Vec<Entry> {
        let first = self.outbox.len() as u64 + 1;
        let message_id =
            MessageId::from_bytes((((me as u128) << 64) | u128::from(first)).to_be_bytes());
        let entries = (first..).zip(to).map(|(sequence, to)| Entry {
            sequence,
            message_id,
            to: *to,
            priority,
            bytes: 16,
            expires_at,
            attempts: 0,
        });
        let entries: Vec<Entry> = entries.collect();
        self.outbox.extend(entries.iter().map(|entry| (entry.sequence, Row::new(entry.clone()))));
        entries
    }

    pub(super) fn item(&self, sequence: u64) -> Option<DeliverItem> {
        let entry = &self.outbox.get(&sequence)?.value;
        Some(DeliverItem {
            stream: 1,
            sequence,
            priority: entry.priority.as_u8(),
            expires_at: entry.expires_at.0,
            message: entry.message_id.as_bytes().to_vec(),
        })
    }

    /// Commits a message to the inbox, once.
    pub(super) fn take_in(&mut self, from: PeerId, item: &DeliverItem) -> DeliverOutcome {
        let message_id = MessageId::from_bytes(item.message.as_slice().try_into().unwrap());
        if !self.seen.insert((from, message_id)) {
            return DeliverOutcome::Duplicate;
        }
        let DeliverItem { priority, sequence, .. } = *item;
        self.inbox.push(Arrived { from, message_id, priority, sequence });
        DeliverOutcome::Stored
    }

    /// Commits a parcel for another member, and its row if it is new.
    pub(super) fn keep(&mut self, parcel: Parcel) -> (DeliverOutcome, Option<CustodyRow>) {
        let name = |row: &CustodyRow| (row.from, row.message_id, row.to);
        let new = (parcel.from, parcel.message_id, parcel.to);
        if self.kept().any(|(row, _)| name(row) == new) {
            return (DeliverOutcome::Duplicate, None);
        }
        if self.kept().filter(|(row, _)| row.from == parcel.from).count() >= CUSTODY_QUOTA {
            return (DeliverOutcome::Deferred(ErrorCode::QueueFull), None);
        }
        let custody_id = self.custody.last_key_value().map_or(1, |(id, _)| id + 1);
        // The deletion of an earlier copy is written before this one is.
        self.custody.retain(|_, kept| name(&kept.value.0) != new);
        let row = CustodyRow {
            custody_id,
            from: parcel.from,
            to: parcel.to,
            message_id: parcel.message_id,
            priority: parcel.item.priority,
            expires_at: UnixMillis(parcel.item.expires_at),
            bytes: 16,
        };
        self.custody.insert(custody_id, Row::new((row.clone(), parcel)));
        (DeliverOutcome::Stored, Some(row))
    }
}
