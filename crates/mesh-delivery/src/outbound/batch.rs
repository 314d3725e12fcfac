//! How batches leave, and what becomes of their messages.

use mesh_protocol::{DeliverOutcome, ErrorCode};

use crate::backoff::wait_after;
use crate::{End, Now, Outbound, Output};

use super::lane::{Batch, LaneKey, LaneState};

impl Outbound {
    pub(super) fn send(&mut self, key: LaneKey, now: Now) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let bytes_max = self.config.batch_bytes_max(key.priority);
        let mut sequences = Vec::new();
        let mut bytes = 0_usize;
        while sequences.len() < self.config.batch_items_max
            && let Some(sequence) = lane.waiting.first().copied()
            && let Some(entry) = self.entries.get_mut(&sequence)
        {
            bytes = bytes.saturating_add(entry.bytes);
            // The first one always goes: alone, when it is larger than a batch may be.
            if bytes > bytes_max && !sequences.is_empty() {
                break;
            }
            entry.attempts = entry.attempts.saturating_add(1);
            lane.waiting.remove(&sequence);
            self.expiries.remove(&(entry.expires_at, sequence));
            sequences.push(sequence);
        }
        let id = self.next_batch_id;
        self.next_batch_id += 1;
        let deadline = now.instant + self.config.answer_timeout;
        lane.state = LaneState::UnderWay(Batch::new(id, sequences.clone(), deadline));
        self.batches.insert(id, key);
        self.timers.insert((deadline, key));
        let LaneKey { peer, priority } = key;
        self.outputs.push_back(Output::SendBatch { peer, priority, batch_id: id, sequences });
    }

    pub(super) fn answer(&mut self, batch_id: u64, outcomes: &[DeliverOutcome], now: Now) {
        let Some(&key) = self.batches.get(&batch_id) else { return };
        let Some(batch) = self.take_batch(key) else { return };
        if outcomes.len() != batch.sequences.len() {
            return self.back_off(key, &batch.sequences, Some(ErrorCode::ProtocolError), now);
        }
        let mut deferred = None;
        let mut ended = 0;
        for (&sequence, &outcome) in batch.sequences.iter().zip(outcomes) {
            // What was settled through others keeps the end that it has.
            if self.entries.contains_key(&sequence)
                && let Err(code) = self.finish_as(sequence, outcome)
            {
                deferred = Some(code);
                break;
            }
            ended += 1;
        }
        if ended > 0
            && let Some(lane) = self.lanes.get_mut(&key)
        {
            lane.failures = 0;
        }
        if let Some(code) = deferred {
            // Whatever the answer says about those behind it: they must not overtake.
            self.back_off(key, batch.sequences.get(ended..).unwrap_or_default(), Some(code), now);
        }
    }

    pub(super) fn fail(&mut self, batch_id: u64, reason: Option<ErrorCode>, now: Now) {
        let Some(&key) = self.batches.get(&batch_id) else { return };
        if let Some(batch) = self.take_batch(key) {
            self.back_off(key, &batch.sequences, reason, now);
        }
    }

    /// Ends a message as the receiver says, or returns why it is to be tried again.
    pub(super) fn finish_as(
        &mut self,
        sequence: u64,
        outcome: DeliverOutcome,
    ) -> Result<(), ErrorCode> {
        let end = match outcome {
            DeliverOutcome::Stored => End::Acked { was_duplicate: false },
            DeliverOutcome::Duplicate => End::Acked { was_duplicate: true },
            DeliverOutcome::Refused(code) => End::Refused(code),
            DeliverOutcome::Deferred(code) => return Err(code),
        };
        self.finish(sequence, end);
        Ok(())
    }

    pub(super) fn drop_bodiless(&mut self, sequence: u64) {
        // A receipt may have come first, and the row may be deleted for it: the place in the batch goes.
        let settled = self.settled.remove(&sequence);
        let Some(key) = settled.or_else(|| self.entries.get(&sequence).map(LaneKey::of)) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&key)
            && let LaneState::UnderWay(batch) = &mut lane.state
        {
            batch.sequences.retain(|other| *other != sequence);
            batch.settled = batch.settled.saturating_sub(usize::from(settled.is_some()));
            if batch.is_over() {
                // Of what is left, nothing waits for an answer.
                self.take_batch(key);
            }
        }
        self.finish(sequence, End::Refused(ErrorCode::StorageError));
    }

    /// Ends the batch that a lane has under way, if it has one. Its messages are in no place then.
    pub(super) fn take_batch(&mut self, key: LaneKey) -> Option<Batch> {
        let batch = self.lanes.get_mut(&key)?.take_batch()?;
        self.batches.remove(&batch.id);
        for sequence in &batch.sequences {
            self.settled.remove(sequence);
        }
        self.timers.remove(&(batch.deadline, key));
        self.touched.insert(key);
        Some(batch)
    }

    /// Puts messages of a failed batch back into their lane, and those in it that are too old to an end.
    /// Returns whether any is left to be tried again.
    pub(super) fn give_back(
        &mut self,
        key: LaneKey,
        sequences: &[u64],
        reason: Option<ErrorCode>,
        now: Now,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
        for sequence in sequences {
            let Some(entry) = self.entries.get(sequence) else { continue };
            lane.waiting.insert(*sequence);
            self.expiries.insert((entry.expires_at, *sequence));
        }
        self.expire(now);
        let head = self.lanes.get(&key).and_then(|lane| lane.waiting.first());
        let Some(head) = head.and_then(|sequence| self.entries.get(sequence)) else { return false };
        self.outputs.push_back(Output::RetryScheduled {
            sequence: head.sequence,
            peer: key.peer,
            attempts: head.attempts,
            reason,
        });
        true
    }

    fn back_off(&mut self, key: LaneKey, sequences: &[u64], reason: Option<ErrorCode>, now: Now) {
        if !self.give_back(key, sequences, reason, now) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.failures = lane.failures.saturating_add(1);
        let wait = wait_after(lane.failures, self.config.retry_min, self.config.retry_max);
        let until = now.instant + self.jitter.spread(wait);
        lane.state = LaneState::BackingOff { until };
        self.timers.insert((until, key));
    }
}
