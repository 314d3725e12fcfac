//! From `send` to the outbox, from the outbox to the link, and back with what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use mesh_delivery::{End, Entry, Priority, Reservation};
use mesh_files::is_of_push;
use mesh_protocol::{
    Deliver, DeliverItem, EncodeError, Encryption, ErrorCode, Frame, MeshMessage, MessageId,
    Payload, PeerId, Recipient, UnixMillis, WireRef,
};
use mesh_store::{InboxOutcome, NewInbox, NewOutbox, OutboxEnd};
use mesh_transport::Lane;
use serde_json::json;
use tokio::sync::oneshot;

use crate::clock;
use crate::error::{NodeError, chain};
use crate::outgoing::{Delivered, Delivery, DeliveryOutcome, Outgoing, Sent, Target, Waiting};
use crate::pushes::PUSH_APP_TYPE;
use crate::shared::{Shared, lock};
use crate::view::View;

/// How long a live message may take to be answered.
const LIVE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const fn lane_of(priority: Priority) -> Lane {
    match priority {
        Priority::Urgent => Lane::Urgent,
        Priority::Normal => Lane::Normal,
        Priority::Bulk => Lane::Bulk,
    }
}

fn cannot_encode(error: &EncodeError) -> NodeError {
    NodeError::new(error.code(), format!("{error}; nothing was sent"))
        .with_hint("split the content, or send it as a file")
}

/// A message and whom it is for.
struct Prepared {
    message: MeshMessage,
    recipients: Vec<PeerId>,
    view: Arc<View>,
    warnings: Vec<String>,
}

impl Shared {
    /// Sends a message. A durable one is committed when this returns.
    pub(crate) async fn send(self: &Arc<Self>, outgoing: Outgoing) -> Result<Sent, NodeError> {
        let started = clock::now().instant;
        let (delivery, priority, ttl) = (outgoing.delivery, outgoing.priority, outgoing.ttl);
        if ttl.is_zero() || ttl.as_millis() > u128::from(mesh_protocol::MESSAGE_TTL_MILLIS_MAX) {
            return Err(NodeError::new(
                ErrorCode::BadRequest,
                "a message lives between a millisecond and 30 days; nothing was sent",
            ));
        }
        let prepared = self.prepare(outgoing)?;
        match delivery {
            Delivery::Live => self.send_live(prepared, priority, started).await,
            Delivery::Durable => self.send_durable(prepared, priority, ttl, started).await,
        }
    }

    fn prepare(&self, outgoing: Outgoing) -> Result<Prepared, NodeError> {
        let now = clock::now().wall;
        let view = self.view();
        view.check_member()?;
        let mut warnings = Vec::new();
        let (to, recipients) = match &outgoing.to {
            Target::Broadcast => {
                let others: Vec<PeerId> = view.others().map(|member| member.peer_id).collect();
                if others.is_empty() {
                    warnings.push("this agent is alone in its mesh: nobody gets this".to_owned());
                }
                (Recipient::Broadcast, others)
            }
            Target::Peer(peer) => {
                if !view.verdict.is_member(peer) {
                    return Err(NodeError::new(
                        ErrorCode::UnknownPeer,
                        format!("{} is no member of this mesh; nothing was sent", peer.short()),
                    ));
                }
                (Recipient::Peer(*peer), vec![*peer])
            }
            Target::Name(name) => {
                let resolved = view.resolve(name, now)?;
                warnings.extend(resolved.warning);
                (Recipient::Peer(resolved.peer), vec![resolved.peer])
            }
        };
        let encryption = if outgoing.seal { Encryption::Sealed } else { Encryption::Link };
        let message = MeshMessage {
            message_id: clock::message_id(),
            from: self.me,
            to,
            payload: outgoing.payload,
            encryption,
            timestamp: now,
        };
        Ok(Prepared { message, recipients, view, warnings })
    }

    /// What travels to each receiver, as `write` makes it. In the open it is the same bytes for all.
    fn write_each<T: Clone + From<Vec<u8>>>(
        &self,
        prepared: &Prepared,
        write: impl Fn(WireRef<'_>) -> Result<Vec<u8>, EncodeError>,
    ) -> Result<Vec<T>, NodeError> {
        let Prepared { message, recipients, view, .. } = prepared;
        let write = |wire: WireRef<'_>| write(wire).map(T::from).map_err(|e| cannot_encode(&e));
        if message.encryption == Encryption::Link {
            return Ok(vec![write(WireRef::Plain(message))?; recipients.len()]);
        }
        let seal = |peer: &PeerId| {
            if *peer == self.me {
                return write(WireRef::Plain(message));
            }
            let member = view.verdict.member(peer).ok_or_else(|| {
                NodeError::new(
                    ErrorCode::UnknownPeer,
                    "a receiver is no member any more; nothing was sent",
                )
            })?;
            write(WireRef::Sealed(&self.keyring().seal(message, member)?))
        };
        recipients.iter().map(seal).collect()
    }

    /// Commits messages, behind the membership that names their receivers.
    async fn append_outbox(self: &Arc<Self>, rows: Vec<NewOutbox>) -> Result<Vec<u64>, NodeError> {
        self.store_membership_or_room().await?;
        let appended = self.timed("outbox", self.store.append_outbox(rows)).await;
        appended.map_err(NodeError::storage)
    }

    async fn send_durable(
        self: &Arc<Self>,
        prepared: Prepared,
        priority: Priority,
        ttl: Duration,
        started: Instant,
    ) -> Result<Sent, NodeError> {
        let bodies: Vec<Arc<[u8]>> = self.write_each(&prepared, |wire| wire.encode())?;
        let Prepared { message, recipients, warnings, .. } = prepared;
        let message_id = message.message_id;
        let expires_at = message.timestamp.plus(ttl);
        if recipients == [self.me] {
            let outcome = self.send_to_self(&message, priority, expires_at).await?;
            let after = clock::now().instant.saturating_duration_since(started);
            let deliveries = vec![(self.me, Waiting::Ended(outcome, after))];
            return Ok(Sent { message_id, warnings, started, deliveries });
        }
        let bytes_each = bodies.iter().map(|body| body.len()).max().unwrap_or(0);
        let reservation = self.reserve(&recipients, bytes_each)?;
        let app_type = app_type_of(&message.payload);
        let rows = recipients.iter().zip(&bodies).map(|(to, body)| NewOutbox {
            message_id,
            to: *to,
            is_broadcast: message.to == Recipient::Broadcast,
            priority: priority.as_u8(),
            is_sealed: message.encryption == Encryption::Sealed,
            app_type: app_type.clone(),
            created_at: message.timestamp,
            expires_at,
            body: Arc::clone(body),
        });
        // In a task of its own: a caller that gives up must not leave a committed message unknown
        // to the engine until the next start.
        let shared = Arc::clone(self);
        let rows: Vec<NewOutbox> = rows.collect();
        let committed = self.tasks.isolate(async move {
            let sequences = match shared.append_outbox(rows).await {
                Ok(sequences) => sequences,
                Err(error) => {
                    lock(&shared.core).release(reservation);
                    return Err(error);
                }
            };
            let mut deliveries = Vec::with_capacity(sequences.len());
            let mut entries = Vec::with_capacity(sequences.len());
            for ((sequence, to), body) in sequences.into_iter().zip(recipients).zip(bodies) {
                let (waiter, receiver) = oneshot::channel();
                lock(&shared.waiters).insert(sequence, waiter);
                deliveries.push((to, Waiting::Durable(receiver)));
                let bytes = body.len();
                shared.bodies().insert(sequence, priority, expires_at, Some(body));
                entries.push(Entry {
                    sequence,
                    message_id,
                    to,
                    priority,
                    bytes,
                    expires_at,
                    attempts: 0,
                });
            }
            shared.drive(|core, now| core.committed(reservation, entries, now));
            Ok(deliveries)
        });
        let deliveries = committed.await.map_err(|_| {
            NodeError::new(
                ErrorCode::ShuttingDown,
                "the agent is stopping; the message may be in the outbox",
            )
        })??;
        Ok(Sent { message_id, warnings, started, deliveries })
    }

    /// Takes room in the outbox for members that may have been removed a moment ago: a message that
    /// was reserved after its receiver's removal would wait for nobody.
    fn reserve(&self, recipients: &[PeerId], bytes_each: usize) -> Result<Reservation, NodeError> {
        let mut core = lock(&self.core);
        if let Some(gone) = recipients.iter().find(|peer| !core.takes_messages_for(peer)) {
            return Err(NodeError::new(
                ErrorCode::UnknownPeer,
                format!("{} is no member any more; nothing was sent", gone.short()),
            ));
        }
        core.reserve(recipients, bytes_each).map_err(|full| {
            NodeError::new(ErrorCode::QueueFull, format!("{full}; nothing was sent"))
                .with_hint("`mesh-ctl outbox` shows what waits and for whom")
        })
    }

    async fn send_to_self(
        self: &Arc<Self>,
        message: &MeshMessage,
        priority: Priority,
        expires_at: UnixMillis,
    ) -> Result<DeliveryOutcome, NodeError> {
        let body = message.encode().map_err(|e| cannot_encode(&e))?;
        let row = NewInbox {
            message_id: message.message_id,
            from: self.me,
            // Stream 0 is nobody's outbox: a message to oneself has no sequence and needs no floor.
            stream: 0,
            sequence: u64::MAX >> 1,
            priority: priority.as_u8(),
            is_broadcast: false,
            is_sealed: message.encryption == Encryption::Sealed,
            via: Vec::new(),
            app_type: Some(app_type_of(&message.payload)),
            payload_kind: message.payload.kind(),
            body: body.into(),
            timestamp: message.timestamp,
            received_at: clock::now().wall,
            expires_at,
        };
        let outcomes = self.store.commit_inbox(vec![row]).await.map_err(NodeError::storage)?;
        Ok(match outcomes.first() {
            Some(InboxOutcome::Stored { inbox_id }) => {
                self.inbox_grew(*inbox_id);
                DeliveryOutcome::Acked
            }
            Some(InboxOutcome::Duplicate) => DeliveryOutcome::Acked,
            Some(InboxOutcome::Full) | None => {
                return Err(NodeError::new(
                    ErrorCode::QueueFull,
                    "this agent's inbox is full; nothing was sent",
                )
                .with_hint("`mesh-ctl inbox --ack` empties it"));
            }
        })
    }

    /// Sends a batch of the outbox: at once when its bodies are in memory, else after reading them.
    pub(crate) fn send_batch(
        self: &Arc<Self>,
        peer: PeerId,
        priority: Priority,
        batch_id: u64,
        sequences: Vec<u64>,
    ) {
        let bodies = self.bodies().all(&sequences);
        if let Some(bodies) = bodies {
            let items = sequences.into_iter().zip(bodies).collect();
            self.send_items(peer, priority, batch_id, items);
            return;
        }
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let Some(items) = shared.read_bodies(&sequences).await else {
                shared.drive(|core, now| core.batch_failed(batch_id, now));
                return;
            };
            // Without any item left the engine has ended the batch by itself. It may also have given it up
            // meanwhile and sent another, which this one must not follow.
            let is_under_way = lock(&shared.core).outbound().peer_of_batch(batch_id) == Some(peer);
            if is_under_way && !items.is_empty() {
                shared.send_items(peer, priority, batch_id, items);
            }
        });
    }

    /// Bodies of the outbox from the database; none when it cannot be read. A message whose row is gone is
    /// given up.
    pub(crate) async fn read_bodies(
        self: &Arc<Self>,
        sequences: &[u64],
    ) -> Option<Vec<(u64, Arc<[u8]>)>> {
        let found = match self.store.outbox_bodies(sequences).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the outbox cannot be read");
                return None;
            }
        };
        let is_missing = |sequence: &u64| !found.iter().any(|(held, _)| held == sequence);
        for missing in sequences.iter().copied().filter(is_missing) {
            tracing::error!(sequence = missing, "an outbox message has no body; giving it up");
            self.drive(|core, now| core.body_missing(missing, now));
        }
        Some(found.into_iter().map(|(sequence, body)| (sequence, body.into())).collect())
    }

    fn send_items(
        self: &Arc<Self>,
        peer: PeerId,
        priority: Priority,
        batch_id: u64,
        bodies: Vec<(u64, Arc<[u8]>)>,
    ) {
        let Some(entry) = self.link(&peer) else {
            let shared = Arc::clone(self);
            self.tasks.spawn(shared.send_routed(peer, priority, batch_id, bodies));
            return;
        };
        let stream = self.store.outbox_stream();
        let items = {
            let held = self.bodies();
            let items = bodies.into_iter().map(|(sequence, body)| DeliverItem {
                stream,
                sequence,
                priority: priority.as_u8(),
                expires_at: held.expires_at(sequence).0,
                message: body.to_vec(),
            });
            items.collect()
        };
        let frame = Frame::Deliver(Deliver { batch_id, items });
        if entry.sender.try_send(lane_of(priority), &frame).is_err() {
            self.drive(|core, now| core.batch_failed(batch_id, now));
        }
    }

    /// A message of the outbox has come to its end.
    pub(crate) fn finish(
        &self,
        sequence: u64,
        message_id: MessageId,
        to: PeerId,
        end: End,
        via: Vec<PeerId>,
    ) {
        self.bodies().remove(sequence);
        let now = clock::now();
        let outbox_end = match end {
            End::Acked { .. } => OutboxEnd::Acked,
            End::Expired => OutboxEnd::Expired,
            End::Refused(code) => OutboxEnd::Refused(code),
        };
        self.store.finish_outbox(sequence, outbox_end);
        if let Some(waiter) = lock(&self.waiters).remove(&sequence) {
            let _gone = waiter.send(Delivered { end, at: now.instant, via });
        }
        let (kind, code) = match end {
            End::Acked { .. } => return,
            End::Expired => ("message_expired", ErrorCode::MessageExpired),
            End::Refused(code) => ("message_refused", code),
        };
        let hostname = self.view().label(&to);
        tracing::warn!(%message_id, to = %hostname, %code, "a message was not delivered");
        let detail =
            json!({ "message_id": message_id, "to": hostname, "peer_id": to, "code": code });
        self.emit_audited(now.wall, kind, Some(self.me), detail);
    }

    async fn send_live(
        self: &Arc<Self>,
        prepared: Prepared,
        priority: Priority,
        started: Instant,
    ) -> Result<Sent, NodeError> {
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frames: Vec<Bytes> =
            self.write_each(&prepared, |wire| Frame::encode_live(request_id, wire))?;
        let Prepared { message, recipients, warnings, .. } = prepared;
        let deadline = started + LIVE_TIMEOUT;
        // All at once: a peer whose queue is full holds up nobody but itself.
        let deliveries = recipients.into_iter().zip(frames).map(async |(peer, frame)| {
            let asked = self.ask_live(peer, priority, request_id, frame);
            let outcome = match tokio::time::timeout_at(deadline.into(), asked).await {
                Ok(Ok(())) => DeliveryOutcome::Acked,
                Ok(Err(code)) => DeliveryOutcome::Refused(code),
                Err(_) => DeliveryOutcome::Refused(ErrorCode::TimedOut),
            };
            let after = clock::now().instant.saturating_duration_since(started);
            (peer, Waiting::Ended(outcome, after))
        });
        let deliveries = join_all(deliveries).await;
        Ok(Sent { message_id: message.message_id, warnings, started, deliveries })
    }

    async fn ask_live(
        &self,
        peer: PeerId,
        priority: Priority,
        request_id: u64,
        frame: Bytes,
    ) -> Result<(), ErrorCode> {
        let entry = self.link(&peer).ok_or(ErrorCode::PeerUnreachable)?;
        let answer = entry.expect_live(request_id)?;
        let sent = entry.sender.send_encoded(lane_of(priority), frame).await;
        sent.map_err(|_| ErrorCode::PeerUnreachable)?;
        let result = answer.await.map_err(|_| ErrorCode::PeerUnreachable)?;
        result.error.map_or(Ok(()), Err)
    }
}

/// The application type of a custom JSON message, and of what says something about a push; empty for anything else.
pub(crate) fn app_type_of(payload: &Payload) -> String {
    match payload {
        Payload::CustomJson(custom) => custom.app_type.clone(),
        Payload::FileTransfer(transfer) if is_of_push(transfer) => PUSH_APP_TYPE.to_owned(),
        Payload::DatabaseSync(_)
        | Payload::FileTransfer(_)
        | Payload::MediaStream(_)
        | Payload::ConfigUpdate(_)
        | Payload::Ping(_)
        | Payload::Pong(_)
        | Payload::Ack(_)
        | Payload::Error(_)
        | Payload::Unknown(_) => String::new(),
    }
}
