//! How messages find their custodians, and what becomes of offers.

use std::time::Instant;

use mesh_protocol::{DeliverOutcome, PeerId};

use crate::mix::mix;

use super::parts::{Absence, Lane, Offer, Receiver, Timer};
use super::{Handover, HandoverOutput};

impl Handover {
    /// Finds anew who may be asked to keep the messages of a receiver that is away for long, and queues
    /// those accordingly that lack custodians. The messages of other receivers are offered to nobody.
    pub(super) fn arrange(&mut self, to: PeerId) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        if receiver.absence != Absence::Long {
            return;
        }
        let candidates = self.custodians.iter().filter(|peer| {
            // A copy at the receiver itself would be no copy but a delivery.
            **peer != to && !receiver.skipped.contains_key(*peer)
        });
        receiver.ranked = candidates.copied().collect();
        receiver.ranked.sort_by_cached_key(|peer| (mix(&to, peer), *peer));
        let is_open = |sequence: &&u64| {
            let message = self.messages.get(*sequence);
            message.is_some_and(|message| {
                !message.queued_for.is_empty()
                    || message.lacks(&self.custodians, self.config.custodians) > 0
            })
        };
        let sequences: Vec<u64> = receiver.messages.iter().filter(is_open).copied().collect();
        for sequence in sequences {
            self.enqueue(sequence);
        }
    }

    pub(super) fn arrange_all(&mut self) {
        let is_away = |(_, receiver): &(&PeerId, &Receiver)| receiver.absence == Absence::Long;
        let away = self.receivers.iter().filter(is_away);
        let away: Vec<PeerId> = away.map(|(peer, _)| *peer).collect();
        for to in away {
            self.arrange(to);
        }
    }

    /// Puts a message into the queues of those that are to be asked to keep it.
    pub(super) fn enqueue(&mut self, sequence: u64) {
        self.dequeue(sequence);
        let Some(message) = self.messages.get_mut(&sequence) else { return };
        let Some(receiver) = self.receivers.get(&message.to) else { return };
        if receiver.absence != Absence::Long || message.young_until.is_some() {
            return;
        }
        let to = message.to;
        let chosen = message.choose(&receiver.ranked, &self.custodians, self.config.custodians);
        for &custodian in &chosen {
            let lane = Lane { to, custodian };
            self.queues.entry(lane).or_default().insert(sequence);
            self.touched.insert(lane);
        }
        message.queued_for = chosen;
    }

    /// Takes a message out of every queue.
    pub(super) fn dequeue(&mut self, sequence: u64) {
        let Some(message) = self.messages.get_mut(&sequence) else { return };
        let to = message.to;
        for custodian in std::mem::take(&mut message.queued_for) {
            let lane = Lane { to, custodian };
            if let Some(queue) = self.queues.get_mut(&lane) {
                queue.remove(&sequence);
                if queue.is_empty() {
                    self.queues.remove(&lane);
                }
            }
        }
    }

    /// Lets every lane that was touched offer what is queued, unless an answer is under way.
    pub(super) fn offer_all(&mut self, now: Instant) {
        while let Some(lane) = self.touched.pop_first() {
            if !self.under_way.contains_key(&lane) {
                self.offer(lane, now);
            }
        }
    }

    fn offer(&mut self, lane: Lane, now: Instant) {
        let Some(queue) = self.queues.get(&lane) else { return };
        let mut bytes = 0_usize;
        let mut sequences = Vec::new();
        for sequence in queue.iter().take(self.config.batch_items_max) {
            let size = self.messages.get(sequence).map_or(0, |message| message.bytes);
            bytes = bytes.saturating_add(size);
            // The first one always goes: alone, when it is larger than an offer may be.
            if bytes > self.config.batch_bytes_max && !sequences.is_empty() {
                break;
            }
            sequences.push(*sequence);
        }
        let Lane { to, custodian } = lane;
        let mut offer = Offer {
            lane,
            sequences: sequences.clone(),
            fresh: Default::default(),
            deadline: now + self.config.answer_timeout,
        };
        for sequence in &sequences {
            let Some(message) = self.messages.get_mut(sequence) else { continue };
            message.queued_for.retain(|peer| *peer != custodian);
            message.offered_to.insert(custodian);
            if message.perhaps.insert(custodian) {
                offer.fresh.insert(*sequence);
            }
        }
        if let Some(queue) = self.queues.get_mut(&lane) {
            for sequence in &sequences {
                queue.remove(sequence);
            }
            if queue.is_empty() {
                self.queues.remove(&lane);
            }
        }
        let request_id = self.next_request_id;
        self.next_request_id += 1;
        self.timers.insert((offer.deadline, Timer::Unanswered(request_id)));
        self.under_way.insert(lane, request_id);
        self.offers.insert(request_id, offer);
        self.outputs.push_back(HandoverOutput::Offer { custodian, request_id, to, sequences });
    }

    pub(super) fn take_answer(
        &mut self,
        custodian: PeerId,
        request_id: u64,
        outcomes: &[DeliverOutcome],
        now: Instant,
    ) {
        if self.offers.get(&request_id).is_none_or(|offer| offer.lane.custodian != custodian) {
            return;
        }
        let Some(offer) = self.close(request_id) else { return };
        if outcomes.len() != offer.sequences.len() {
            return self.skip(offer.lane, now);
        }
        let mut has_declined = false;
        for (sequence, outcome) in offer.sequences.iter().zip(outcomes) {
            let is_kept = match outcome {
                DeliverOutcome::Stored | DeliverOutcome::Duplicate => true,
                DeliverOutcome::Deferred(_) | DeliverOutcome::Refused(_) => false,
            };
            has_declined |= !is_kept;
            let Some(message) = self.messages.get_mut(sequence) else { continue };
            if is_kept {
                message.holders.insert(custodian);
            } else {
                message.perhaps.remove(&custodian);
            }
        }
        if has_declined {
            self.skip(offer.lane, now);
        }
    }

    /// The offer may have arrived, but nobody will know.
    pub(super) fn give_up(&mut self, request_id: u64, now: Instant) {
        if let Some(offer) = self.close(request_id) {
            self.skip(offer.lane, now);
        }
    }

    pub(super) fn take_back(&mut self, request_id: u64, now: Instant) {
        let Some(offer) = self.close(request_id) else { return };
        for sequence in &offer.fresh {
            if let Some(message) = self.messages.get_mut(sequence) {
                message.perhaps.remove(&offer.lane.custodian);
            }
        }
        self.skip(offer.lane, now);
    }

    /// Ends an offer. What the custodian keeps of it is for the caller to say.
    pub(super) fn close(&mut self, request_id: u64) -> Option<Offer> {
        let offer = self.offers.remove(&request_id)?;
        self.under_way.remove(&offer.lane);
        self.timers.remove(&(offer.deadline, Timer::Unanswered(request_id)));
        for sequence in &offer.sequences {
            if let Some(message) = self.messages.get_mut(sequence) {
                message.offered_to.remove(&offer.lane.custodian);
            }
        }
        self.touched.insert(offer.lane);
        Some(offer)
    }

    /// Leaves a custodian alone with the messages of a receiver for a while; others take its place.
    fn skip(&mut self, lane: Lane, now: Instant) {
        let Some(receiver) = self.receivers.get_mut(&lane.to) else { return };
        let until = now + self.config.retry_after;
        if let Some(before) = receiver.skipped.insert(lane.custodian, until) {
            self.timers.remove(&(before, Timer::Again(lane)));
        }
        self.timers.insert((until, Timer::Again(lane)));
        self.arrange(lane.to);
    }
}
