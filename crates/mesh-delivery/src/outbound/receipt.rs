use mesh_protocol::DeliverOutcome;

use crate::{Now, Outbound};

use super::lane::{LaneKey, LaneState};

impl Outbound {
    /// Takes the receiver's word on one message that came past the answer of its batch.
    pub(super) fn take_receipt(&mut self, sequence: u64, outcome: DeliverOutcome, now: Now) {
        let Some(key) = self.entries.get(&sequence).map(LaneKey::of) else { return };
        let Some(lane) = self.lanes.get(&key) else { return };
        let under_way = match &lane.state {
            LaneState::UnderWay(batch) if !lane.waiting.contains(&sequence) => Some(batch.id),
            LaneState::Idle | LaneState::UnderWay(_) | LaneState::BackingOff { .. } => None,
        };
        if let Err(code) = self.finish_as(sequence, outcome) {
            // Messages before it in the batch, whose receipts are still on their way, go back as well: a
            // lane cannot wait for two things, and their receipts find them wherever they are.
            if let Some(batch_id) = under_way {
                self.fail(batch_id, Some(code), now);
            }
            return;
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.failures = 0;
        if under_way.is_some()
            && let LaneState::UnderWay(batch) = &mut lane.state
        {
            batch.settled += 1;
            self.settled.insert(sequence, key);
            if batch.is_over() {
                self.take_batch(key);
            }
        }
    }
}
