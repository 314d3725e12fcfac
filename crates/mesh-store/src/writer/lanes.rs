//! How far the lanes of senders have come: what a floor must keep away from.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::StoreError;
use crate::columns::{Columns, Value};
use crate::query::fetch_all;
use crate::statements::statements;
use crate::writer::FloorKey;

/// How many of the newest sequences of a lane stay without a floor, because a message may come late:
/// through a member that kept it while newer ones took a shorter way. Such a member keeps 1,000 messages
/// of a sender and hands over a batch of 512 at a time; sequences also count what goes to others, hence
/// the wide margin.
pub(crate) const LATE_SEQUENCES_MAX: u64 = 10_000;

/// Most lanes per sender. A sender needs one per priority of its outbox, and anew when it loses its
/// database; beyond the bound the one that was silent longest is given up, and gets no higher floor.
const LANES_PER_SENDER_MAX: usize = 64;

statements! {
    SELECT_LANES = "SELECT stream, priority, max(sequence), max(inbox_id) FROM (
            SELECT stream, priority, sequence, inbox_id FROM inbox_seen WHERE sender = ?1
            UNION ALL SELECT stream, priority, sequence, inbox_id FROM inbox WHERE sender = ?1)
        WHERE stream <> 0 GROUP BY stream, priority ORDER BY max(inbox_id) DESC LIMIT ?2";
}

/// The newest that came in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    sequence: u64,
    inbox_id: i64,
}

/// The newest sequence of every lane, of those senders that ids were forgotten of.
///
/// What is not known here is known too low at worst, and a floor that is too low loses nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    by_sender: BTreeMap<i64, BTreeMap<FloorKey, Newest>>,
}

impl Lanes {
    /// Reads where the lanes of `sender` are, unless it is known. To be called before the first of its
    /// ids is forgotten: most senders never come to it, so a start does not pay for all of them.
    pub(crate) async fn learn(
        &mut self,
        conn: &mut SqliteConnection,
        sender: i64,
    ) -> Result<(), StoreError> {
        if self.by_sender.contains_key(&sender) {
            return Ok(());
        }
        let values = [Value::Int(sender), Value::count(LANES_PER_SENDER_MAX as u64)];
        let mut lanes = BTreeMap::new();
        for row in fetch_all(conn, SELECT_LANES, values).await? {
            let mut columns = Columns::of(&row);
            let (stream, priority) = (columns.bits()?, columns.small("priority")?);
            let newest = Newest { sequence: columns.bits()?, inbox_id: columns.int()? };
            lanes.insert(FloorKey { sender, stream, priority }, newest);
        }
        self.by_sender.insert(sender, lanes);
        Ok(())
    }

    /// A message came in. Of a sender that was not learnt nothing is kept: the database has it.
    pub(crate) fn note(&mut self, lane: FloorKey, sequence: u64, inbox_id: i64) {
        let Some(lanes) = self.by_sender.get_mut(&lane.sender) else { return };
        // Messages that come from no outbox have no order.
        if lane.stream == 0 {
            return;
        }
        let newest = lanes.entry(lane).or_insert(Newest { sequence, inbox_id });
        newest.sequence = newest.sequence.max(sequence);
        newest.inbox_id = newest.inbox_id.max(inbox_id);
        if lanes.len() > LANES_PER_SENDER_MAX {
            let silent = lanes.iter().min_by_key(|(_, newest)| newest.inbox_id);
            if let Some(silent) = silent.map(|(lane, _)| *lane) {
                lanes.remove(&silent);
            }
        }
    }

    /// The highest floor that leaves room for messages that come late; none when there is no such.
    pub(crate) fn floor_max(&self, lane: &FloorKey) -> Option<u64> {
        let newest = self.by_sender.get(&lane.sender)?.get(lane)?;
        newest.sequence.checked_sub(LATE_SEQUENCES_MAX)
    }
}

#[cfg(test)]
mod tests;
