//! What this node keeps for members that nobody reaches, and whom it asks to keep its own.

use std::collections::BTreeMap;

use mesh_delivery::{
    End, Entry, HandoverInput, HandoverOutput, Input, Now, Outbound, OutboundStats, Output,
    Priority,
};
use mesh_protocol::{
    DeliverOutcome, ErrorCode, MessageId, PARCELS_PER_FRAME_MAX, PeerId, Receipt, UnixMillis,
};
use mesh_store::CustodyRow;

use super::{Core, Wish};

/// Sender, message, receiver: what a receipt names.
type Name = (PeerId, MessageId, PeerId);

/// Receipts kept at the most, for senders that were away when their messages arrived. They are in memory
/// alone: one that is lost costs its sender a repeat.
const RECEIPTS_MAX: usize = 10_000;

/// Whether the receiver has not the keys that a message was sealed with.
fn is_unreadable(receipt: &Receipt) -> bool {
    receipt.outcome == DeliverOutcome::Deferred(ErrorCode::SealInvalid)
}

/// What is known of the messages of one sender.
fn of_sender<T>(known: &BTreeMap<Name, T>, sender: PeerId) -> impl Iterator<Item = &T> {
    let first = (sender, MessageId::from_bytes([0; 16]), PeerId::from_bytes([0; 32]));
    let from_there = known.range(first..);
    from_there.take_while(move |((from, ..), _)| *from == sender).map(|(_, value)| value)
}

/// What this node keeps for others.
#[derive(Debug)]
pub(super) struct Held {
    /// Delivers it like messages of its own; a sequence is a custody id.
    pub(super) outbound: Outbound,
    ids: BTreeMap<Name, u64>,
    names: BTreeMap<u64, (Name, UnixMillis)>,
    /// What receivers said of messages that were kept, with the messages' expiry.
    receipts: BTreeMap<Name, (Receipt, UnixMillis)>,
}

impl Held {
    pub(super) const fn new(outbound: Outbound) -> Self {
        Self { outbound, ids: BTreeMap::new(), names: BTreeMap::new(), receipts: BTreeMap::new() }
    }

    fn forget(&mut self, custody_id: u64) {
        if let Some((name, _)) = self.names.remove(&custody_id) {
            self.ids.remove(&name);
        }
    }

    /// Ends messages whose sender or mesh this node has nothing to do with any more.
    fn give_up(&mut self, custody_ids: Vec<u64>, now: Now) {
        let outcome = DeliverOutcome::Refused(ErrorCode::NotAMember);
        for sequence in custody_ids {
            self.outbound.handle_input(Input::Settled { sequence, outcome }, now);
        }
    }

    /// Keeps a receipt for its sender's return. When there are too many, those of messages that expired go,
    /// then whichever.
    fn keep(&mut self, name: Name, receipt: Receipt, expires_at: UnixMillis, now: UnixMillis) {
        if self.receipts.len() >= RECEIPTS_MAX {
            self.receipts.retain(|_, (_, expires_at)| *expires_at > now);
        }
        if self.receipts.len() >= RECEIPTS_MAX {
            let _given_up = self.receipts.pop_first();
        }
        self.receipts.insert(name, (receipt, expires_at));
    }
}

impl Core {
    /// What this node keeps for others, in numbers.
    pub(crate) fn held_stats(&self) -> OutboundStats {
        self.held.outbound.stats()
    }

    /// Takes in rows of the custody table: those of the last run, or some that were just committed.
    pub(crate) fn hold(&mut self, rows: Vec<CustodyRow>, now: Now) {
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            // A removal may have come between the check of a parcel and its commit, or before a crash
            // that kept its rows.
            if !self.dialled.contains_key(&row.from) || !self.dialled.contains_key(&row.to) {
                let end = End::Refused(ErrorCode::NotAMember);
                let CustodyRow { custody_id, message_id, to, .. } = row;
                self.wishes.push_back(Wish::HeldFinished { custody_id, message_id, to, end });
                continue;
            }
            let name = (row.from, row.message_id, row.to);
            self.held.receipts.remove(&name);
            self.held.ids.insert(name, row.custody_id);
            self.held.names.insert(row.custody_id, (name, row.expires_at));
            entries.push(Entry {
                sequence: row.custody_id,
                message_id: row.message_id,
                to: row.to,
                priority: Priority::from_u8(row.priority),
                bytes: usize::try_from(row.bytes).unwrap_or(usize::MAX),
                expires_at: row.expires_at,
                attempts: 0,
            });
        }
        self.held.outbound.handle_input(Input::Restored(entries), now);
        self.collect(now);
    }

    /// The peer whose receipts a batch of kept messages waits for.
    pub(crate) fn peer_of_held_batch(&self, batch_id: u64) -> Option<PeerId> {
        self.held.outbound.peer_of_batch(batch_id)
    }

    pub(crate) fn held_batch_failed(&mut self, batch_id: u64, now: Now) {
        self.held.outbound.handle_input(Input::BatchFailed { batch_id }, now);
        self.collect(now);
    }

    pub(crate) fn held_body_missing(&mut self, custody_id: u64, now: Now) {
        self.held.outbound.handle_input(Input::BodyMissing { sequence: custody_id }, now);
        self.collect(now);
    }

    /// A custodian answers an offer.
    pub(crate) fn custody_answered(
        &mut self,
        custodian: PeerId,
        request_id: u64,
        outcomes: Vec<DeliverOutcome>,
        now: Now,
    ) {
        let input = HandoverInput::Answered { custodian, request_id, outcomes };
        self.handover.handle_input(input, now.instant);
        self.collect(now);
    }

    pub(crate) fn offer_unsent(&mut self, request_id: u64, now: Now) {
        self.handover.handle_input(HandoverInput::Unsent { request_id }, now.instant);
        self.collect(now);
    }

    /// Who keeps a copy of a message of the outbox.
    pub(crate) fn custodians_of(&self, sequence: u64) -> Vec<PeerId> {
        self.handover.custodians_of(sequence)
    }

    /// Whether a receipt is about a message that waits or is kept here, and so is worth the check of its
    /// signature.
    pub(crate) fn awaits(&self, receipt: &Receipt) -> bool {
        let Receipt { from, to, message_id, .. } = *receipt;
        (to == self.me && self.waiting.contains_key(&(message_id, from)))
            || self.held.ids.contains_key(&(to, message_id, from))
    }

    /// The row of a message of the outbox that waits for this receiver.
    pub(crate) fn waiting_for(&self, message_id: MessageId, to: PeerId) -> Option<u64> {
        self.waiting.get(&(message_id, to)).copied()
    }

    /// A receiver says what became of a message that went through others. `via` are the members that
    /// passed its word on.
    pub(crate) fn settle(&mut self, receipt: &Receipt, via: Vec<PeerId>, now: Now) {
        let Receipt { from, to, message_id, outcome, .. } = *receipt;
        if to == self.me
            && let Some(&sequence) = self.waiting.get(&(message_id, from))
        {
            self.settled_via = via;
            self.outbound.handle_input(Input::Settled { sequence, outcome }, now);
            self.collect(now);
            self.settled_via = Vec::new();
        }
        if let Some(&custody_id) = self.held.ids.get(&(to, message_id, from)) {
            // Only its sender can seal it with other keys: this copy would be sent in vain until it expires.
            let outcome = if is_unreadable(receipt) {
                DeliverOutcome::Refused(ErrorCode::SealInvalid)
            } else {
                outcome
            };
            let expiry = self.held.names.get(&custody_id).map(|(_, expires_at)| *expires_at);
            if let Some(expires_at) = expiry
                && !matches!(outcome, DeliverOutcome::Deferred(_))
            {
                // The receiver tells the sender as well, but may not reach it from where it is.
                if self.reach.contains_key(&to) {
                    let receipts = vec![*receipt];
                    self.wishes.push_back(Wish::SendReceipts { to, receipts });
                } else {
                    self.held.keep((to, message_id, from), *receipt, expires_at, now.wall);
                }
            }
            let input = Input::Settled { sequence: custody_id, outcome };
            self.held.outbound.handle_input(input, now);
            self.collect(now);
        }
    }

    /// What a receiver said of a message that its sender asks to keep once more. One that could not be opened
    /// may have been sealed anew.
    pub(crate) fn kept_receipt(
        &self,
        from: PeerId,
        message_id: MessageId,
        to: PeerId,
    ) -> Option<Receipt> {
        let kept = self.held.receipts.get(&(from, message_id, to)).map(|(receipt, _)| *receipt);
        kept.filter(|receipt| !is_unreadable(receipt))
    }

    /// Tells a sender that has come back what became of its messages.
    pub(super) fn tell_receipts(&mut self, sender: PeerId, now: Now) {
        self.held.receipts.retain(|_, (_, expires_at)| *expires_at > now.wall);
        let own = of_sender(&self.held.receipts, sender).map(|(receipt, _)| *receipt);
        let own: Vec<Receipt> = own.collect();
        // Said once: after that the message may be under way with other keys.
        self.held
            .receipts
            .retain(|(from, ..), (receipt, _)| *from != sender || !is_unreadable(receipt));
        for receipts in own.chunks(PARCELS_PER_FRAME_MAX) {
            let wish = Wish::SendReceipts { to: sender, receipts: receipts.to_vec() };
            self.wishes.push_back(wish);
        }
    }

    /// Drops everything that is kept for others: it belongs to the mesh that is left.
    pub(super) fn forget_all_held(&mut self, now: Now) {
        self.held.receipts.clear();
        let all: Vec<u64> = self.held.names.keys().copied().collect();
        self.held.give_up(all, now);
    }

    /// Drops what is kept from or for peers that are no members any more. Their rows go apart.
    pub(super) fn forget_held_of(&mut self, gone: &PeerId, now: Now) {
        self.held.outbound.handle_input(Input::PeerRemoved(*gone), now);
        self.held.receipts.retain(|(from, ..), _| from != gone);
        let from_gone: Vec<u64> = of_sender(&self.held.ids, *gone).copied().collect();
        self.held.give_up(from_gone, now);
    }

    /// Hands on what the engines of custody have to say. True when there was something.
    pub(super) fn collect_custody(&mut self) -> bool {
        let mut is_quiet = true;
        while let Some(output) = self.handover.poll_output() {
            is_quiet = false;
            let HandoverOutput::Offer { custodian, request_id, to, sequences } = output;
            self.wishes.push_back(Wish::OfferCustody { custodian, request_id, to, sequences });
        }
        while let Some(output) = self.held.outbound.poll_output() {
            is_quiet = false;
            match output {
                Output::SendBatch { peer, priority, batch_id, sequences: custody_ids } => {
                    self.wishes.push_back(Wish::SendHeld { peer, priority, batch_id, custody_ids });
                }
                Output::Finished { sequence: custody_id, message_id, to, end } => {
                    self.held.forget(custody_id);
                    self.wishes.push_back(Wish::HeldFinished { custody_id, message_id, to, end });
                }
                Output::RetryScheduled { sequence, attempts, .. } => {
                    tracing::trace!(custody_id = sequence, attempts, "a kept message waits");
                }
            }
        }
        !is_quiet
    }
}
