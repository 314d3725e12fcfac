//! A receiver's database: what it has handed over, and what it remembers for telling repeats.

use std::collections::{BTreeMap, VecDeque};

use mesh_delivery::Priority;
use mesh_protocol::{DeliverOutcome, ErrorCode, MessageId};

/// So few that floors are needed all the time.
const SEEN_MAX: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) sequence: u64,
    pub(crate) priority: Priority,
    pub(crate) message_id: MessageId,
    /// Nobody will ever take it.
    pub(crate) is_poison: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Everything that was stored, in order.
    pub(crate) log: Vec<Item>,
    seen: BTreeMap<Priority, VecDeque<(u64, MessageId)>>,
    /// The highest sequence of each lane whose id was forgotten.
    floors: BTreeMap<Priority, u64>,
}

impl Receiver {
    /// Commits a batch. What stands at `defer_from` or behind it is not taken this time.
    pub(crate) fn receive(&mut self, items: &[Item], defer_from: usize) -> Vec<DeliverOutcome> {
        let outcomes = items.iter().enumerate().map(|(index, item)| {
            if index >= defer_from {
                DeliverOutcome::Deferred(ErrorCode::QueueFull)
            } else if self.remembers(item) {
                DeliverOutcome::Duplicate
            } else if item.is_poison {
                DeliverOutcome::Refused(ErrorCode::SealInvalid)
            } else if self.has_forgotten(item) {
                DeliverOutcome::Duplicate
            } else {
                self.store(*item);
                DeliverOutcome::Stored
            }
        });
        outcomes.collect()
    }

    pub(crate) fn has(&self, message_id: MessageId) -> bool {
        self.log.iter().any(|item| item.message_id == message_id)
    }

    fn remembers(&self, item: &Item) -> bool {
        let seen = self.seen.get(&item.priority);
        seen.is_some_and(|seen| seen.iter().any(|(_, id)| *id == item.message_id))
    }

    fn has_forgotten(&self, item: &Item) -> bool {
        self.floors.get(&item.priority).is_some_and(|floor| item.sequence <= *floor)
    }

    fn store(&mut self, item: Item) {
        self.log.push(item);
        let seen = self.seen.entry(item.priority).or_default();
        seen.push_back((item.sequence, item.message_id));
        if seen.len() > SEEN_MAX
            && let Some((sequence, _)) = seen.pop_front()
        {
            let floor = self.floors.entry(item.priority).or_insert(sequence);
            *floor = sequence.max(*floor);
        }
    }
}
