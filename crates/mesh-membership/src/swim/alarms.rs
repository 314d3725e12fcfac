//! What is to be done at which moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foca::{Incarnation, Timer};

use mesh_protocol::PeerId;

use super::identity::SwimId;

#[derive(Clone, Debug)]
pub(super) enum Alarm {
    /// An event of foca's.
    Foca(Timer<SwimId>),
    /// Tell a suspected member that it is one.
    Warn { suspect: SwimId, incarnation: Incarnation, times_left: u32 },
    /// Announce this node to a newcomer, unless it was heard of meanwhile.
    Introduce { peer: PeerId },
    /// Announce this node to some of those that belong but are not up.
    ReachOut,
}

/// Alarms by moment, those of one moment in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    entries: BTreeMap<(Instant, u64), Alarm>,
    count: u64,
}

impl Alarms {
    pub(super) fn set(&mut self, at: Instant, alarm: Alarm) {
        self.count = self.count.wrapping_add(1);
        self.entries.insert((at, self.count), alarm);
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Moves every alarm into the future.
    pub(super) fn postpone(&mut self, by: Duration) {
        let entries = std::mem::take(&mut self.entries);
        self.entries =
            entries.into_iter().map(|((at, number), alarm)| ((at + by, number), alarm)).collect();
    }

    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&Alarm) -> bool) {
        self.entries.retain(|_, alarm| is_kept(alarm));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
