use std::collections::BTreeMap;
use std::time::Instant;

use mesh_protocol::{MessageId, PeerId};

use crate::{End, Entry, Outbound};

use super::lane::{LaneKey, LaneState};

/// How messages ended since the start, a broadcast counted once per recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedCounts {
    /// The receiver has committed it.
    pub acked: u64,
    /// Its time was over before an answer came.
    pub expired: u64,
    /// It will not be delivered.
    pub refused: u64,
}

impl EndedCounts {
    pub(super) fn count(&mut self, end: End) {
        let counted = match end {
            End::Acked { was_duplicate: _ } => &mut self.acked,
            End::Expired => &mut self.expired,
            End::Refused(_) => &mut self.refused,
        };
        *counted = counted.saturating_add(1);
    }
}

/// How full the outbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundStats {
    /// Messages that have not ended, a broadcast counted once per recipient.
    pub messages: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Room that is taken for messages whose commit is under way.
    pub reserved_messages: usize,
    /// The bytes of that room.
    pub reserved_bytes: u64,
    /// The bound of stored and reserved messages together.
    pub messages_max: usize,
    /// The bound of their bytes.
    pub bytes_max: u64,
    /// Messages per peer, for peers that have any.
    pub peers: BTreeMap<PeerId, usize>,
    /// How messages ended since the start.
    pub ended: EndedCounts,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingState {
    /// For the batch before it.
    Queued,
    /// For the receiver's answer.
    UnderWay,
    /// For the end of the wait after a failure, its own or that of one before it.
    BackingOff,
    /// For a link or a route to the receiver.
    PeerDown,
}

/// A message that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingView {
    /// The row.
    pub sequence: u64,
    /// The message.
    pub message_id: MessageId,
    /// The receiver.
    pub to: PeerId,
    /// How often it was sent.
    pub attempts: u32,
    /// When the lane goes on, while it is backing off.
    pub next_attempt_at: Option<Instant>,
    /// What it waits for.
    pub state: WaitingState,
}

impl Outbound {
    /// How full the outbox is.
    #[must_use]
    pub fn stats(&self) -> OutboundStats {
        OutboundStats {
            messages: self.room.stored.messages,
            bytes: self.room.stored.bytes,
            reserved_messages: self.room.reserved.messages,
            reserved_bytes: self.room.reserved.bytes,
            messages_max: self.room.messages_max,
            bytes_max: self.room.bytes_max,
            peers: self.room.stored_of_peers(),
            ended: self.ended,
        }
    }

    /// Every message that has not ended, by sequence.
    pub fn waiting(&self) -> impl Iterator<Item = WaitingView> {
        self.entries.values().map(|entry| {
            let (state, next_attempt_at) = self.state_of(entry);
            WaitingView {
                sequence: entry.sequence,
                message_id: entry.message_id,
                to: entry.to,
                attempts: entry.attempts,
                next_attempt_at,
                state,
            }
        })
    }

    fn state_of(&self, entry: &Entry) -> (WaitingState, Option<Instant>) {
        if !self.up.contains(&entry.to) {
            return (WaitingState::PeerDown, None);
        }
        let Some(lane) = self.lanes.get(&LaneKey::of(entry)) else {
            return (WaitingState::Queued, None);
        };
        match lane.state {
            LaneState::UnderWay(_) if !lane.waiting.contains(&entry.sequence) => {
                (WaitingState::UnderWay, None)
            }
            LaneState::Idle | LaneState::UnderWay(_) => (WaitingState::Queued, None),
            LaneState::BackingOff { until } => (WaitingState::BackingOff, Some(until)),
        }
    }
}
