//! What the writer knows without asking: numbers to give out, how full the inbox is, who its senders are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_protocol::{PeerId, UnixMillis};
use sqlx::SqliteConnection;

use crate::columns::{Columns, Value};
use crate::custody::Held;
use crate::query::{execute, fetch_all, fetch_one};
use crate::statements::statements;
use crate::store::Counts;
use crate::writer::Lanes;
use crate::{StoreConfig, StoreError};

/// Numbers that are noted as given out ahead of time, so that one commit in so many pays for the note.
const NUMBERS_AHEAD: u64 = 1024;

statements! {
    SELECT_COUNTERS = "SELECT outbox_stream, outbox_sequence, inbox_id FROM counters WHERE id = 1";
    SET_STREAM = "UPDATE counters SET outbox_stream = ? WHERE id = 1 AND outbox_stream IS NULL";
    COUNT_OUTBOX = "SELECT count(*) FROM outbox";
    COUNT_INBOX = "SELECT count(*), coalesce(sum(length(body)), 0) FROM inbox";
    SELECT_SENDERS = "SELECT s.sender, s.public_key,
            (SELECT count(*) FROM inbox_seen AS i WHERE i.sender = s.sender)
        FROM inbox_senders AS s";
    SELECT_FLOORS = "SELECT sender, stream, priority, sequence, expires_at FROM inbox_floors";
}

/// Which lane of which sender's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FloorKey {
    pub(crate) sender: i64,
    pub(crate) stream: u64,
    pub(crate) priority: u8,
}

/// What comes with a sequence up to this is taken for a repeat; the last id that this stands for expires at `expires_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) sequence: u64,
    pub(crate) expires_at: UnixMillis,
}

/// A sender and how many ids of its messages are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sender: i64,
    pub(crate) ids: u64,
}

/// A counter whose values are never given out twice, not even after a crash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    next: u64,
    noted: u64,
}

impl Numbers {
    /// Goes on above everything that may have been given out.
    const fn above(noted: u64) -> Self {
        Self { next: noted + 1, noted }
    }

    /// The next number. A commit that fails leaves a gap, which harms nobody.
    pub(crate) const fn draw(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// What must be noted in the same commit, when numbers beyond the last note were drawn.
    pub(crate) const fn note(&self) -> Option<u64> {
        if self.next > self.noted + 1 { Some(self.next + NUMBERS_AHEAD) } else { None }
    }
}

/// The writer's memory. True for the last commit.
#[derive(Clone, Debug)]
pub(crate) struct State {
    stream: u64,
    pub(crate) sequences: Numbers,
    pub(crate) inbox_ids: Numbers,
    pub(crate) outbox: u64,
    pub(crate) inbox_unacked: u64,
    pub(crate) inbox_bytes: u64,
    pub(crate) senders: BTreeMap<PeerId, Seen>,
    pub(crate) floors: BTreeMap<FloorKey, Floor>,
    pub(crate) lanes: Lanes,
    pub(crate) custody: Held,
}

impl State {
    /// Reads the state, and gives a database without a stream the configured one.
    pub(crate) async fn load(
        conn: &mut SqliteConnection,
        config: &StoreConfig,
    ) -> Result<Self, StoreError> {
        let seed = Value::bits(config.stream_seed.max(1));
        execute(conn, SET_STREAM, [seed]).await?;
        let row = fetch_one(conn, SELECT_COUNTERS, []).await?;
        let mut counters = Columns::of(&row);
        let stream = counters.bits()?;
        let sequences = Numbers::above(counters.count("counter")?);
        let inbox_ids = Numbers::above(counters.count("counter")?);
        let row = fetch_one(conn, COUNT_OUTBOX, []).await?;
        let outbox = Columns::of(&row).count("count")?;
        let row = fetch_one(conn, COUNT_INBOX, []).await?;
        let mut inbox = Columns::of(&row);
        let (inbox_unacked, inbox_bytes) = (inbox.count("count")?, inbox.count("sum")?);
        let mut senders = BTreeMap::new();
        for row in fetch_all(conn, SELECT_SENDERS, []).await? {
            let mut columns = Columns::of(&row);
            let sender = columns.int()?;
            let peer = columns.peer()?;
            senders.insert(peer, Seen { sender, ids: columns.count("count")? });
        }
        let mut floors = BTreeMap::new();
        for row in fetch_all(conn, SELECT_FLOORS, []).await? {
            let mut columns = Columns::of(&row);
            let key = FloorKey {
                sender: columns.int()?,
                stream: columns.bits()?,
                priority: columns.small("priority")?,
            };
            let floor = Floor { sequence: columns.bits()?, expires_at: columns.time()? };
            floors.insert(key, floor);
        }
        let custody = Held::load(conn).await?;
        Ok(Self {
            stream,
            sequences,
            inbox_ids,
            outbox,
            inbox_unacked,
            inbox_bytes,
            senders,
            floors,
            lanes: Lanes::default(),
            custody,
        })
    }

    pub(crate) const fn outbox_stream(&self) -> u64 {
        self.stream
    }

    /// Whether the inbox has room for so many more messages and bytes.
    pub(crate) const fn has_inbox_room(
        &self,
        config: &StoreConfig,
        messages: u64,
        bytes: u64,
    ) -> bool {
        self.inbox_unacked + messages <= config.inbox_messages_max
            && self.inbox_bytes + bytes <= config.inbox_bytes_max
    }

    /// Whether a floor says that the message was seen.
    pub(crate) fn is_below_floor(&self, key: &FloorKey, sequence: u64) -> bool {
        self.floors.get(key).is_some_and(|floor| sequence <= floor.sequence)
    }

    /// A sender of whom more than `ids_max` ids are remembered, and how many more.
    pub(crate) fn surplus(&self, ids_max: u64) -> Option<(i64, u64)> {
        let seen = self.senders.values().find(|seen| seen.ids > ids_max)?;
        Some((seen.sender, seen.ids - ids_max))
    }

    /// Counts remembered ids of `sender` up or down.
    pub(crate) fn count_seen(&mut self, sender: i64, change: impl FnOnce(u64) -> u64) {
        if let Some(seen) = self.senders.values_mut().find(|seen| seen.sender == sender) {
            seen.ids = change(seen.ids);
        }
    }

    /// A number for a sender that has none.
    pub(crate) fn next_sender(&self) -> i64 {
        self.senders.values().map(|seen| seen.sender).max().unwrap_or(0) + 1
    }

    /// A message came into the inbox.
    pub(crate) const fn count_unacked(&mut self, bytes: u64) {
        self.inbox_unacked += 1;
        self.inbox_bytes += bytes;
    }

    /// A message of `sender` left the inbox for the ids that are remembered.
    pub(crate) fn forget_unacked(&mut self, sender: i64, bytes: u64) {
        self.inbox_unacked = self.inbox_unacked.saturating_sub(1);
        self.inbox_bytes = self.inbox_bytes.saturating_sub(bytes);
        self.count_seen(sender, |ids| ids + 1);
    }

    /// Notes that numbers up to these may have been given out.
    pub(crate) const fn set_noted(&mut self, sequence: u64, inbox_id: u64) {
        self.sequences.noted = sequence;
        self.inbox_ids.noted = inbox_id;
    }

    /// The notes as they are, each replaced when it has to be.
    pub(crate) fn notes(&self) -> Option<(u64, u64)> {
        let (sequence, inbox_id) = (self.sequences.note(), self.inbox_ids.note());
        if sequence.is_none() && inbox_id.is_none() {
            return None;
        }
        Some((sequence.unwrap_or(self.sequences.noted), inbox_id.unwrap_or(self.inbox_ids.noted)))
    }

    /// The notes that leave no gap at the next start.
    pub(crate) const fn exact_notes(&self) -> (u64, u64) {
        (self.sequences.next - 1, self.inbox_ids.next - 1)
    }
}

/// The counts as everybody may see them.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    inbox_unacked: AtomicU64,
    inbox_bytes: AtomicU64,
    inbox_seen: AtomicU64,
    outbox: AtomicU64,
    custody_parcels: AtomicU64,
    custody_bytes: AtomicU64,
}

impl Gauges {
    pub(crate) fn publish(&self, state: &State) {
        let seen = state.senders.values().map(|seen| seen.ids).sum();
        self.inbox_unacked.store(state.inbox_unacked, Ordering::Relaxed);
        self.inbox_bytes.store(state.inbox_bytes, Ordering::Relaxed);
        self.inbox_seen.store(seen, Ordering::Relaxed);
        self.outbox.store(state.outbox, Ordering::Relaxed);
        let (parcels, bytes) = state.custody.totals();
        self.custody_parcels.store(parcels, Ordering::Relaxed);
        self.custody_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn custody(&self) -> (u64, u64) {
        let parcels = self.custody_parcels.load(Ordering::Relaxed);
        (parcels, self.custody_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            inbox_unacked: self.inbox_unacked.load(Ordering::Relaxed),
            inbox_bytes: self.inbox_bytes.load(Ordering::Relaxed),
            inbox_seen: self.inbox_seen.load(Ordering::Relaxed),
            outbox: self.outbox.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
