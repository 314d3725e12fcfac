//! What goes through others: frames passed on, parcels made and taken in, receipts, routed pings.

use std::sync::Arc;
use std::time::Duration;

use mesh_crypto::Verifier;
use mesh_delivery::Priority;
use mesh_protocol::{
    DeliverItem, DeliverOutcome, Encryption, ErrorCode, Forward, Frame, Itinerary, MessageId,
    Parcel, PeerId, Receipt, Receipts, RoutedPing, Swim, UnixMillis, WireMessage,
};
use mesh_transport::Lane;
use tokio::sync::oneshot;

use crate::clock;
use crate::core::NextHop;
use crate::error::chain;
use crate::inbound::Judged;
use crate::link::{LinkEntry, PongSeen};
use crate::send::lane_of;
use crate::shared::{Shared, lock};

/// Bytes of parcels in one frame, unless a single parcel is larger.
const FORWARD_BYTES_MAX: usize = 1 << 20;

/// Routed pings that may wait for their answer at a time.
const ROUTED_PINGS_MAX: usize = 256;

/// A routed ping that waits for its answer.
#[derive(Debug)]
pub(crate) struct PendingRoutedPing {
    sent_at: std::time::Instant,
    answer: oneshot::Sender<(PongSeen, Vec<PeerId>)>,
}

/// The members between a parcel's sender and this node: a custodian, and those on the way.
fn came_through(itinerary: &Itinerary, sender: PeerId) -> Vec<PeerId> {
    let custodian = Some(itinerary.origin).filter(|origin| *origin != sender);
    custodian.into_iter().chain(itinerary.hops.iter().copied()).collect()
}

impl Shared {
    /// The link that a frame on this way takes next.
    fn next_link(&self, itinerary: &Itinerary) -> Option<Arc<LinkEntry>> {
        if let Some(entry) = self.link(&itinerary.destination) {
            return Some(entry);
        }
        let hop = lock(&self.core).next_hop(&itinerary.destination)?;
        match hop {
            NextHop::Direct => None,
            NextHop::Through(peer) if itinerary.has_seen(&peer) => None,
            NextHop::Through(peer) => self.link(&peer),
        }
    }

    /// Sends a frame on its way; false when there is none at the moment. Nobody waits for room: whoever
    /// sent the frame hears nothing and tries again.
    fn send_onward(&self, itinerary: &Itinerary, lane: Lane, frame: &Frame) -> bool {
        let next = self.next_link(itinerary);
        next.is_some_and(|entry| entry.sender.try_send(lane, frame).is_ok())
    }

    /// Sends an answer to where a frame came from. Whoever has just come into reach may be unknown here
    /// yet; the member that brought its frame knows a way.
    fn send_back(&self, came_over: &LinkEntry, itinerary: &Itinerary, frame: &Frame) -> bool {
        self.send_onward(itinerary, Lane::Urgent, frame)
            || came_over.sender.try_send(Lane::Urgent, frame).is_ok()
    }

    /// The way onward through this node, for a frame that `entry` brought and that is for another member.
    fn onward(&self, entry: &LinkEntry, itinerary: &Itinerary) -> Option<Itinerary> {
        let view = self.view();
        let is_known = |peer: &PeerId| view.verdict.is_member(peer);
        if !is_known(&entry.peer)
            || !is_known(&itinerary.origin)
            || !is_known(&itinerary.destination)
        {
            return None;
        }
        let onward = itinerary.through(self.me);
        if onward.is_none() {
            tracing::debug!(from = %entry.peer.short(), "a frame goes in circles or too far, dropping it");
        }
        onward
    }

    /// Makes parcels of messages of the outbox: sealed, and signed with what the receiver acts upon.
    pub(crate) async fn make_parcels(
        &self,
        to: PeerId,
        bodies: Vec<(u64, Arc<[u8]>)>,
    ) -> Result<Vec<Parcel>, ErrorCode> {
        let mut parcels = Vec::with_capacity(bodies.len());
        for (sequence, body) in bodies {
            parcels.push(self.make_parcel(to, sequence, &body)?);
            // Sealing takes a good part of a millisecond, and others want to run as well.
            tokio::task::yield_now().await;
        }
        Ok(parcels)
    }

    fn make_parcel(&self, to: PeerId, sequence: u64, body: &[u8]) -> Result<Parcel, ErrorCode> {
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
        let (priority, expires_at) = {
            let bodies = self.bodies();
            (bodies.priority(sequence).as_u8(), bodies.expires_at(sequence).0)
        };
        let stream = self.store.outbox_stream();
        let item = DeliverItem { stream, sequence, priority, expires_at, message };
        let keyring = self.keyring();
        let parcel = keyring.node_key().sign_parcel(view.mesh_id, to, message_id, item);
        parcel.map_err(|error| error.code())
    }

    /// Sends parcels on their way; false when some of them found none.
    pub(crate) fn forward(&self, to: PeerId, priority: Priority, parcels: Vec<Parcel>) -> bool {
        let mut is_sent = true;
        let mut bytes = 0;
        let mut chunk = Vec::new();
        for parcel in parcels {
            let size = parcel.item.message.len();
            if !chunk.is_empty() && bytes + size > FORWARD_BYTES_MAX {
                is_sent &= self.forward_chunk(to, priority, std::mem::take(&mut chunk));
                bytes = 0;
            }
            bytes += size;
            chunk.push(parcel);
        }
        is_sent && self.forward_chunk(to, priority, chunk)
    }

    fn forward_chunk(&self, to: PeerId, priority: Priority, parcels: Vec<Parcel>) -> bool {
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
        let is_sent = match self.make_parcels(peer, bodies).await {
            Ok(parcels) => self.forward(peer, priority, parcels),
            Err(code) => {
                tracing::warn!(to = %self.view().label(&peer), %code, "messages cannot be sealed for their receiver; they wait for a link");
                false
            }
        };
        if !is_sent {
            self.drive(|core, now| core.batch_failed(batch_id, now));
        }
    }

    /// Takes parcels in, or passes them on.
    pub(crate) async fn take_forward(self: &Arc<Self>, entry: &LinkEntry, forward: Forward) {
        let Forward { itinerary, parcels } = forward;
        if itinerary.destination != self.me {
            if let Some(onward) = self.onward(entry, &itinerary) {
                let priority = parcels
                    .first()
                    .map_or(Priority::Normal, |parcel| Priority::from_u8(parcel.item.priority));
                let frame = Frame::Forward(Forward { itinerary: onward.clone(), parcels });
                if !self.send_onward(&onward, lane_of(priority), &frame) {
                    tracing::debug!(to = %onward.destination.short(), "no way onward for a parcel, dropping it");
                }
            }
            return;
        }
        let receipts = self.receive_parcels(&itinerary, &parcels).await;
        self.send_receipts(entry, itinerary.origin, receipts);
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
        let outcomes = self.commit_judged(judged).await;
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
        let is_sealed = matches!(WireMessage::decode(&parcel.item.message), Ok(WireMessage::Sealed(envelope)) if envelope.header.message_id == parcel.message_id);
        let row = if is_sealed {
            self.receive_item(parcel.from, &parcel.item, now)
        } else {
            Err(ErrorCode::SealInvalid)
        };
        Some(Judged { from: parcel.from, message_id: Some(parcel.message_id), row })
    }

    fn receipt(
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
    fn send_receipts(&self, came_over: &LinkEntry, origin: PeerId, receipts: Vec<Receipt>) {
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

    /// Takes receipts in, or passes them on.
    pub(crate) fn take_receipts(self: &Arc<Self>, entry: &LinkEntry, receipts: Receipts) {
        let Receipts { itinerary, receipts } = receipts;
        if itinerary.destination != self.me {
            if let Some(onward) = self.onward(entry, &itinerary) {
                let frame = Frame::Receipts(Receipts { itinerary: onward.clone(), receipts });
                let _dropped = !self.send_onward(&onward, Lane::Urgent, &frame);
            }
            return;
        }
        let mesh_id = self.view().mesh_id;
        for receipt in receipts {
            if receipt.mesh_id != mesh_id || !receipt.is_genuine(&Verifier) {
                tracing::warn!(from = %receipt.from.short(), "a receipt is not what its receiver signed, dropping it");
                continue;
            }
            let mut via: Vec<PeerId> = itinerary.hops.clone();
            via.reverse();
            self.drive(|core, now| core.settle(&receipt, via, now));
        }
    }

    /// A round trip to a member without a link; with the members that it went through.
    pub(crate) async fn ping_routed(
        &self,
        peer: PeerId,
        timeout: Duration,
    ) -> Result<(PongSeen, Vec<PeerId>), ErrorCode> {
        let (answer, answered) = oneshot::channel();
        let (now, nonce) = (clock::now(), clock::random_u64());
        {
            let mut pending = lock(&self.routed_pings);
            pending.retain(|_, ping| !ping.answer.is_closed());
            if pending.len() >= ROUTED_PINGS_MAX {
                return Err(ErrorCode::QueueFull);
            }
            pending.insert(nonce, PendingRoutedPing { sent_at: now.instant, answer });
        }
        let itinerary = Itinerary::new(self.me, peer);
        let ping = RoutedPing {
            itinerary: itinerary.clone(),
            nonce,
            sent_at: now.wall.0,
            answered_via: None,
        };
        if !self.send_onward(&itinerary, Lane::Urgent, &Frame::RoutedPing(ping)) {
            return Err(ErrorCode::PeerUnreachable);
        }
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(_)) => Err(ErrorCode::PeerUnreachable),
            Err(_) => Err(ErrorCode::TimedOut),
        }
    }

    /// Answers a routed ping, takes its answer in, or passes either on.
    pub(crate) fn take_routed_ping(&self, entry: &LinkEntry, ping: RoutedPing) {
        let now = clock::now();
        if ping.itinerary.destination != self.me {
            if let Some(itinerary) = self.onward(entry, &ping.itinerary) {
                let frame = Frame::RoutedPing(RoutedPing { itinerary: itinerary.clone(), ..ping });
                let _dropped = !self.send_onward(&itinerary, Lane::Urgent, &frame);
            }
            return;
        }
        let RoutedPing { itinerary: came, nonce, sent_at, answered_via } = ping;
        match answered_via {
            None => {
                let itinerary = Itinerary::new(self.me, came.origin);
                let answer = RoutedPing {
                    itinerary: itinerary.clone(),
                    nonce,
                    sent_at: now.wall.0,
                    answered_via: Some(came.hops),
                };
                let _dropped = !self.send_back(entry, &itinerary, &Frame::RoutedPing(answer));
            }
            Some(via) => {
                let Some(pending) = lock(&self.routed_pings).remove(&nonce) else { return };
                let rtt = now.instant.saturating_duration_since(pending.sent_at);
                let pong = PongSeen { rtt, peer_clock: UnixMillis(sent_at) };
                let _gone = pending.answer.send((pong, via));
            }
        }
    }

    /// Sends liveness gossip; it may get lost.
    pub(crate) fn send_swim(&self, to: PeerId, data: Vec<u8>) {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
        let _lost = !self.send_onward(&itinerary, Lane::Urgent, &frame);
    }

    /// Takes liveness gossip in, or passes it on.
    pub(crate) fn take_swim(self: &Arc<Self>, entry: &LinkEntry, swim: Swim) {
        let Swim { itinerary, data } = swim;
        if itinerary.destination == self.me {
            self.drive(|core, now| core.swim_received(itinerary.origin, data, now));
        } else if let Some(itinerary) = self.onward(entry, &itinerary) {
            let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
            let _lost = !self.send_onward(&itinerary, Lane::Urgent, &frame);
        }
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
}
