//! What receivers say of messages that went through others: receipts made, passed on, taken in.

use std::sync::Arc;

use mesh_crypto::Verifier;
use mesh_protocol::{
    DeliverOutcome, ErrorCode, Frame, Itinerary, MessageId, PeerId, Receipt, Receipts, WireMessage,
};
use mesh_transport::Lane;

use crate::clock;
use crate::error::chain;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

impl Shared {
    /// This node's signed word on a message from `to`.
    pub(crate) fn receipt(
        &self,
        to: PeerId,
        message_id: MessageId,
        outcome: DeliverOutcome,
    ) -> Option<Receipt> {
        let (mesh_id, at) = (self.view().mesh_id, clock::now().wall);
        let receipt = self.keyring().node_key().sign_receipt(mesh_id, to, message_id, outcome, at);
        receipt.inspect_err(|error| Self::log_failure("a receipt cannot be signed", error)).ok()
    }

    /// Answers whoever forwarded the parcels, and their senders if those are others.
    pub(crate) fn send_receipts(
        &self,
        came_over: &LinkEntry,
        origin: PeerId,
        receipts: Vec<Receipt>,
    ) {
        if receipts.is_empty() {
            return;
        }
        let mut senders: Vec<PeerId> = receipts.iter().map(|receipt| receipt.to).collect();
        senders.sort_unstable();
        senders.dedup();
        for sender in senders.into_iter().filter(|sender| *sender != origin) {
            let own = receipts.iter().filter(|receipt| receipt.to == sender).copied().collect();
            let itinerary = Itinerary::new(self.me, sender);
            let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts: own });
            // One that is away learns it when it sends the message again.
            let _away = !self.send_onward(&itinerary, Lane::Urgent, &frame);
        }
        let itinerary = Itinerary::new(self.me, origin);
        let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
        if !self.send_back(came_over, &itinerary, &frame) {
            tracing::debug!(to = %origin.short(), "no way for receipts; the messages will be sent again");
        }
    }

    /// Sends a member what was said of its messages while it was away. When that is lost, it hears it when
    /// it offers the messages again.
    pub(crate) fn return_receipts(&self, to: PeerId, receipts: Vec<Receipt>) {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
        let _lost = !self.send_onward(&itinerary, Lane::Urgent, &frame);
    }

    /// Takes receipts in, or passes them on.
    pub(crate) async fn take_receipts(self: &Arc<Self>, entry: &LinkEntry, receipts: Receipts) {
        let Receipts { itinerary, receipts } = receipts;
        if itinerary.destination != self.me {
            if let Some(itinerary) = self.onward(entry, &itinerary) {
                let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
                self.pass_on(&itinerary, Lane::Urgent, &frame);
            }
            return;
        }
        let mesh_id = self.view().mesh_id;
        let mut genuine = Vec::new();
        for receipt in receipts {
            // Most of what is not awaited was settled by another copy; its signature is nobody's concern.
            if receipt.mesh_id != mesh_id || !lock(&self.core).awaits(&receipt) {
                continue;
            }
            if !receipt.is_genuine(&Verifier) {
                tracing::warn!(from = %receipt.from.short(), "a receipt is not what its receiver signed, dropping it");
                continue;
            }
            if receipt.outcome == DeliverOutcome::Deferred(ErrorCode::SealInvalid) {
                self.seal_anew(&receipt).await;
            }
            genuine.push(receipt);
            tokio::task::yield_now().await;
        }
        let mut via = itinerary.hops;
        via.reverse();
        self.drive(|core, now| {
            for receipt in &genuine {
                core.settle(receipt, via.clone(), now);
            }
        });
    }

    /// The receiver has not the keys that a message was sealed with. One that lies open in the outbox is
    /// sealed again, without the pair's secret, which the receiver may have lost; one that was sealed
    /// when it was sent cannot be, and ends.
    async fn seal_anew(self: &Arc<Self>, receipt: &Receipt) {
        let waiting = lock(&self.core).waiting_for(receipt.message_id, receipt.from);
        let Some(sequence) = waiting else { return };
        let body = match self.store.outbox_bodies(&[sequence]).await {
            Ok(bodies) => bodies.into_iter().next().map(|(_, body)| body),
            Err(error) => {
                tracing::error!(error = %chain(&error), "the outbox cannot be read");
                return;
            }
        };
        match body.map(|body| WireMessage::decode(&body)) {
            Some(Ok(WireMessage::Plain(_))) => self.keyring().distrust_pair_keys(receipt.from),
            Some(Ok(WireMessage::Sealed(_)) | Err(_)) => {
                let outcome = DeliverOutcome::Refused(ErrorCode::SealInvalid);
                let refused = Receipt { outcome, ..*receipt };
                self.drive(|core, now| core.settle(&refused, Vec::new(), now));
            }
            None => {}
        }
    }
}
