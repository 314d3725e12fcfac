//! Messages that go through others: sealed and signed as parcels, passed on, taken in.

use std::sync::Arc;
use std::time::Duration;

use mesh_crypto::Verifier;
use mesh_delivery::Priority;
use mesh_protocol::{
    DeliverItem, DeliverOutcome, Encryption, ErrorCode, Forward, Frame, Itinerary, Parcel, PeerId,
    Receipt, UnixMillis, WireMessage,
};

use crate::clock;
use crate::error::chain;
use crate::inbound::Judged;
use crate::link::LinkEntry;
use crate::send::lane_of;
use crate::shared::{Shared, lock};

/// How long a batch that went through others waits for its receipts before it goes again.
pub(crate) const RECEIPT_WAIT: Duration = Duration::from_secs(10);

/// The members between a parcel's sender and this node: a custodian, and those on the way.
fn came_through(itinerary: &Itinerary, sender: PeerId) -> Vec<PeerId> {
    let custodian = Some(itinerary.origin).filter(|origin| *origin != sender);
    custodian.into_iter().chain(itinerary.hops.iter().copied()).collect()
}

/// The sender may be able to seal the message again, with other keys: it is not refused for good.
fn unless_sealed_anew(outcome: DeliverOutcome) -> DeliverOutcome {
    let is_unreadable = outcome == DeliverOutcome::Refused(ErrorCode::SealInvalid);
    if is_unreadable { DeliverOutcome::Deferred(ErrorCode::SealInvalid) } else { outcome }
}

impl Shared {
    /// Makes parcels of messages of the outbox: sealed, and signed with what the receiver acts upon.
    /// Those that have come to their end meanwhile are left out.
    pub(crate) async fn make_parcels(
        &self,
        to: PeerId,
        bodies: Vec<(u64, Arc<[u8]>)>,
    ) -> Result<Vec<Parcel>, ErrorCode> {
        let mut parcels = Vec::with_capacity(bodies.len());
        for (sequence, body) in bodies {
            let facts = self.bodies().facts(sequence);
            if let Some((priority, expires_at)) = facts {
                let item = DeliverItem {
                    stream: self.store.outbox_stream(),
                    sequence,
                    priority: priority.as_u8(),
                    expires_at: expires_at.0,
                    message: Vec::new(),
                };
                parcels.push(self.make_parcel(to, item, &body)?);
            }
            // Sealing takes a good part of a millisecond, and others want to run as well.
            tokio::task::yield_now().await;
        }
        Ok(parcels)
    }

    /// `item` without its message, which is made of `body`.
    fn make_parcel(&self, to: PeerId, item: DeliverItem, body: &[u8]) -> Result<Parcel, ErrorCode> {
        let view = self.view();
        let member = view.verdict.member(&to).ok_or(ErrorCode::UnknownPeer)?;
        let wire = WireMessage::decode(body).map_err(|error| error.code())?;
        let message_id = wire.message_id();
        let message = match wire {
            WireMessage::Sealed(_) => body.to_vec(),
            WireMessage::Plain(mut message) => {
                message.encryption = Encryption::Sealed;
                let envelope = self.keyring().seal(&message, member).map_err(|error| error.code)?;
                WireMessage::Sealed(envelope).encode().map_err(|error| error.code())?
            }
        };
        let item = DeliverItem { message, ..item };
        let keyring = self.keyring();
        let parcel = keyring.node_key().sign_parcel(view.mesh_id, to, message_id, item);
        parcel.map_err(|error| error.code())
    }

    /// Sends parcels on their way, all in one frame: of two a relay could lose the first. A batch fits,
    /// with what sealing adds to it. False when there is no way at the moment.
    fn forward(&self, to: PeerId, priority: Priority, parcels: Vec<Parcel>) -> bool {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Forward(Forward { itinerary: itinerary.clone(), parcels });
        self.send_onward(&itinerary, lane_of(priority), &frame)
    }

    /// Sends a batch of the outbox through others.
    pub(crate) async fn send_routed(
        self: Arc<Self>,
        peer: PeerId,
        priority: Priority,
        batch_id: u64,
        bodies: Vec<(u64, Arc<[u8]>)>,
    ) {
        let parcels = self.make_parcels(peer, bodies).await;
        // While they were made, the engine may have given the batch up and sent another.
        if lock(&self.core).outbound().peer_of_batch(batch_id) != Some(peer) {
            return;
        }
        let is_sent = match parcels {
            Ok(parcels) => self.forward(peer, priority, parcels),
            Err(code) => {
                tracing::warn!(to = %self.view().label(&peer), %code, "messages cannot be sealed for their receiver; they wait for a link");
                false
            }
        };
        if is_sent {
            // What a relay dropped is not waited for as long as a link's answer. A receipt that comes later
            // counts all the same.
            tokio::time::sleep(RECEIPT_WAIT).await;
            let is_under_way = lock(&self.core).outbound().peer_of_batch(batch_id) == Some(peer);
            if !is_under_way || self.link(&peer).is_some() {
                return;
            }
        }
        self.drive(|core, now| core.batch_failed(batch_id, now));
    }

    /// Sends a batch of what this node keeps for others.
    pub(crate) async fn send_held(
        self: Arc<Self>,
        peer: PeerId,
        priority: Priority,
        batch_id: u64,
        custody_ids: Vec<u64>,
    ) {
        let rows = match self.store.custody_parcels(&custody_ids).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(error = %chain(&error), "what is kept for others cannot be read");
                self.drive(|core, now| core.held_batch_failed(batch_id, now));
                return;
            }
        };
        let mut parcels = Vec::with_capacity(rows.len());
        for (custody_id, bytes) in &rows {
            match Parcel::decode(bytes) {
                Ok(parcel) => parcels.push(parcel),
                Err(error) => {
                    tracing::error!(custody_id, %error, "a kept parcel is damaged; giving it up");
                    self.drive(|core, now| core.held_body_missing(*custody_id, now));
                }
            }
        }
        let is_missing = |id: &u64| !rows.iter().any(|(found, _)| found == id);
        for missing in custody_ids.into_iter().filter(is_missing) {
            self.drive(|core, now| core.held_body_missing(missing, now));
        }
        let is_under_way = lock(&self.core).peer_of_held_batch(batch_id) == Some(peer);
        if is_under_way && !parcels.is_empty() && !self.forward(peer, priority, parcels) {
            self.drive(|core, now| core.held_batch_failed(batch_id, now));
        }
    }

    /// Takes parcels in, or passes them on.
    pub(crate) async fn take_forward(self: &Arc<Self>, entry: &LinkEntry, forward: Forward) {
        let Forward { itinerary, parcels } = forward;
        if itinerary.destination == self.me {
            let receipts = self.receive_parcels(&itinerary, &parcels).await;
            self.send_receipts(entry, itinerary.origin, receipts);
        } else if let Some(itinerary) = self.onward(entry, &itinerary) {
            let priority = parcels
                .first()
                .map_or(Priority::Normal, |parcel| Priority::from_u8(parcel.item.priority));
            let frame = Frame::Forward(Forward { itinerary: itinerary.clone(), parcels });
            self.pass_on(&itinerary, lane_of(priority), &frame);
        }
    }

    /// Commits parcels for this node; one receipt for each that its sender signed.
    async fn receive_parcels(
        self: &Arc<Self>,
        itinerary: &Itinerary,
        parcels: &[Parcel],
    ) -> Vec<Receipt> {
        let now = clock::now().wall;
        let mut names = Vec::with_capacity(parcels.len());
        let mut judged = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            // Without a receipt for what somebody on the way may have made up: that would end a message
            // that its sender still has.
            if let Some(mut verdict) = self.judge_parcel(parcel, now) {
                if let Ok(row) = &mut verdict.row {
                    row.via = came_through(itinerary, parcel.from);
                }
                names.push((parcel.from, parcel.message_id));
                judged.push(verdict);
            }
            tokio::task::yield_now().await;
        }
        let outcomes = self.commit_judged(judged).await.into_iter().map(unless_sealed_anew);
        let named = names.into_iter().zip(outcomes);
        named
            .filter_map(|((from, message_id), outcome)| self.receipt(from, message_id, outcome))
            .collect()
    }

    fn judge_parcel(&self, parcel: &Parcel, now: UnixMillis) -> Option<Judged> {
        let view = self.view();
        let is_for_me = parcel.to == self.me
            && parcel.mesh_id == view.mesh_id
            && view.verdict.is_member(&parcel.from);
        if !is_for_me || !parcel.is_genuine(&Verifier) {
            tracing::warn!(from = %parcel.from.short(), "a parcel is not what its sender signed, dropping it");
            return None;
        }
        let row = match WireMessage::decode(&parcel.item.message) {
            Ok(WireMessage::Sealed(envelope))
                if envelope.header.message_id == parcel.message_id =>
            {
                self.receive_item(parcel.from, &parcel.item, now)
            }
            // What comes through others in the open, or under another name, no honest sender made.
            Ok(WireMessage::Sealed(_) | WireMessage::Plain(_)) => {
                Err(ErrorCode::MessageMisdirected)
            }
            Err(error) => Err(error.code()),
        };
        Some(Judged { from: parcel.from, message_id: Some(parcel.message_id), row })
    }
}
