//! Messages on their way: over a link, through others, and kept by custodians.

use mesh_delivery::{InboundConfig, remembered_until};
use mesh_protocol::{
    Custody, CustodyResult, Deliver, DeliverItem, DeliverOutcome, DeliverResult, ErrorCode,
    Forward, Frame, Itinerary, MessageId, Parcel, PeerId, Receipt, Receipts, UnixMillis,
};

use super::member::Member;
use super::records::unsigned;

impl Member {
    pub(super) fn send_batch(&mut self, peer: PeerId, batch_id: u64, sequences: &[u64]) {
        let is_sent = if self.links.contains_key(&peer) {
            let items = sequences.iter().filter_map(|sequence| self.disk.item(*sequence)).collect();
            self.tell(&peer, Frame::Deliver(Deliver { batch_id, items }))
        } else {
            let parcels = self.parcels(peer, sequences);
            self.forward(peer, parcels)
        };
        if !is_sent {
            self.drive(|core, now| core.batch_failed(batch_id, now));
        }
    }

    pub(super) fn send_held(&mut self, peer: PeerId, batch_id: u64, custody_ids: &[u64]) {
        let held = custody_ids.iter().map(|id| self.disk.custody[id].value.1.clone());
        let parcels = held.collect();
        if !self.forward(peer, parcels) {
            self.drive(|core, now| core.held_batch_failed(batch_id, now));
        }
    }

    pub(super) fn offer_custody(
        &mut self,
        custodian: PeerId,
        request_id: u64,
        to: PeerId,
        sequences: &[u64],
    ) {
        let parcels = self.parcels(to, sequences);
        if !self.tell(&custodian, Frame::Custody(Custody { request_id, parcels })) {
            self.drive(|core, now| core.offer_unsent(request_id, now));
        }
    }

    fn parcels(&self, to: PeerId, sequences: &[u64]) -> Vec<Parcel> {
        let items = sequences.iter().filter_map(|sequence| self.disk.item(*sequence));
        let parcels = items.map(|item| Parcel {
            mesh_id: self.mesh_id,
            from: self.me,
            to,
            message_id: MessageId::from_bytes(item.message.as_slice().try_into().unwrap()),
            item,
            signature: unsigned(),
        });
        parcels.collect()
    }

    fn forward(&mut self, to: PeerId, parcels: Vec<Parcel>) -> bool {
        let itinerary = Itinerary::new(self.me, to);
        self.send_onward(&itinerary.clone(), &Frame::Forward(Forward { itinerary, parcels }))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a new frame is to fail here")]
    pub(super) fn take_delivery(&mut self, from: PeerId, frame: Frame) {
        match frame {
            Frame::Deliver(Deliver { batch_id, items }) => {
                let named: Vec<(PeerId, DeliverItem)> =
                    items.into_iter().map(|item| (from, item)).collect();
                let outcomes = self.commit(&named);
                self.tell(&from, Frame::DeliverResult(DeliverResult { batch_id, outcomes }));
            }
            Frame::DeliverResult(DeliverResult { batch_id, outcomes }) => {
                self.drive(|core, now| core.batch_answered(from, batch_id, outcomes, now));
            }
            Frame::Forward(forward) => self.take_forward(from, forward),
            Frame::Receipts(receipts) => self.take_receipts(receipts),
            Frame::Custody(Custody { request_id, parcels }) => {
                let mut outcomes = Vec::new();
                let mut rows = Vec::new();
                for parcel in parcels {
                    assert_eq!(parcel.from, from, "custody of another's message");
                    let Parcel { message_id, to, .. } = parcel;
                    if let Some(receipt) = self.core.kept_receipt(from, message_id, to) {
                        outcomes.push(DeliverOutcome::Duplicate);
                        self.return_receipts(from, vec![receipt]);
                        continue;
                    }
                    let (outcome, row) = self.disk.keep(parcel);
                    outcomes.push(outcome);
                    rows.extend(row);
                }
                self.drive(|core, now| core.hold(rows, now));
                self.tell(&from, Frame::CustodyResult(CustodyResult { request_id, outcomes }));
            }
            Frame::CustodyResult(CustodyResult { request_id, outcomes }) => {
                self.drive(|core, now| core.custody_answered(from, request_id, outcomes, now));
            }
            other => panic!("nobody sends {other:?}"),
        }
    }

    fn commit(&mut self, items: &[(PeerId, DeliverItem)]) -> Vec<DeliverOutcome> {
        let now = self.time().wall;
        let config = InboundConfig::default();
        let is_full = self.happens(self.relaying.deferral);
        let mut outcomes = Vec::new();
        for (number, (from, item)) in items.iter().enumerate() {
            let expires_at = UnixMillis(item.expires_at);
            outcomes.push(if remembered_until(expires_at, &config) <= now {
                DeliverOutcome::Refused(ErrorCode::MessageExpired)
            } else if expires_at > now.plus(config.ttl_max).plus(config.clock_skew_max) {
                DeliverOutcome::Refused(ErrorCode::ClockSkew)
            } else if is_full && number >= items.len() / 2 {
                DeliverOutcome::Deferred(ErrorCode::QueueFull)
            } else {
                self.disk.take_in(*from, item)
            });
        }
        outcomes
    }

    fn take_forward(&mut self, from: PeerId, forward: Forward) {
        let Forward { itinerary, parcels } = forward;
        if itinerary.destination != self.me {
            if let Some(itinerary) = itinerary.through(self.me) {
                let frame = Frame::Forward(Forward { itinerary: itinerary.clone(), parcels });
                self.send_onward(&itinerary, &frame);
            }
            return;
        }
        self.note_way(&itinerary);
        let named: Vec<(PeerId, DeliverItem)> =
            parcels.iter().map(|parcel| (parcel.from, parcel.item.clone())).collect();
        let outcomes = if self.relaying.is_keyless {
            vec![DeliverOutcome::Deferred(ErrorCode::SealInvalid); named.len()]
        } else {
            self.commit(&named)
        };
        let (me, mesh_id, at) = (self.me, self.mesh_id, self.time().wall);
        let receipts = parcels.iter().zip(outcomes).map(|(parcel, outcome)| {
            assert_eq!(parcel.to, me, "a parcel for another receiver");
            let Parcel { from: to, message_id, .. } = *parcel;
            Receipt { mesh_id, from: me, to, message_id, outcome, at, signature: unsigned() }
        });
        self.send_receipts(from, itinerary.origin, receipts.collect());
    }

    fn send_receipts(&mut self, came_over: PeerId, origin: PeerId, receipts: Vec<Receipt>) {
        let mut senders: Vec<PeerId> = receipts.iter().map(|receipt| receipt.to).collect();
        senders.sort_unstable();
        senders.dedup();
        for sender in senders.into_iter().filter(|sender| *sender != origin) {
            let own = receipts.iter().filter(|receipt| receipt.to == sender).copied().collect();
            let itinerary = Itinerary::new(self.me, sender);
            let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts: own });
            self.send_onward(&itinerary, &frame);
        }
        let itinerary = Itinerary::new(self.me, origin);
        let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
        self.send_back(&came_over, &itinerary, frame);
    }

    pub(super) fn return_receipts(&mut self, to: PeerId, receipts: Vec<Receipt>) {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
        self.send_onward(&itinerary, &frame);
    }

    fn take_receipts(&mut self, receipts: Receipts) {
        let Receipts { itinerary, receipts } = receipts;
        if itinerary.destination != self.me {
            if let Some(itinerary) = itinerary.through(self.me) {
                let frame = Frame::Receipts(Receipts { itinerary: itinerary.clone(), receipts });
                self.send_onward(&itinerary, &frame);
            }
            return;
        }
        self.note_way(&itinerary);
        let via: Vec<PeerId> = itinerary.hops.iter().rev().copied().collect();
        for receipt in receipts {
            self.drive(|core, now| core.settle(&receipt, via.clone(), now));
        }
    }
}
