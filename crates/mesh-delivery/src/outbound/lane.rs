use std::collections::BTreeSet;
use std::time::Instant;

use mesh_protocol::PeerId;

use crate::{Entry, Priority};

/// Names a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) peer: PeerId,
    pub(super) priority: Priority,
}

impl LaneKey {
    pub(super) const fn of(entry: &Entry) -> Self {
        Self { peer: entry.to, priority: entry.priority }
    }

    pub(super) fn all_of(peer: PeerId) -> [Self; 3] {
        Priority::ALL.map(|priority| Self { peer, priority })
    }
}

/// What waits for one peer with one priority.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Sequences that are not under way, in the order in which they leave.
    pub(super) waiting: BTreeSet<u64>,
    pub(super) state: LaneState,
    /// Failures since a message of the lane last ended.
    pub(super) failures: u32,
}

#[derive(Debug, Default)]
pub(super) enum LaneState {
    /// Sends as soon as there is a message and its peer is up.
    #[default]
    Idle,
    /// Waits for an answer.
    UnderWay(Batch),
    /// Waits after a failure.
    BackingOff { until: Instant },
}

/// What was sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: u64,
    /// In the order in which they were sent, which is that of the answer.
    pub(super) sequences: Vec<u64>,
    /// How many of them have ended already.
    pub(super) settled: usize,
    /// Until when the answer must be here.
    pub(super) deadline: Instant,
}

impl Batch {
    pub(super) const fn new(id: u64, sequences: Vec<u64>, deadline: Instant) -> Self {
        Self { id, sequences, settled: 0, deadline }
    }

    /// Whether no message of it waits for the answer.
    pub(super) const fn is_over(&self) -> bool {
        self.settled >= self.sequences.len()
    }
}

impl Lane {
    /// Takes the batch out that is under way, if there is one.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        match std::mem::take(&mut self.state) {
            LaneState::UnderWay(batch) => Some(batch),
            state @ (LaneState::Idle | LaneState::BackingOff { .. }) => {
                self.state = state;
                None
            }
        }
    }
}
