//! From the link to the inbox: each message is judged, opened, committed, and only then answered.

use std::sync::Arc;

use mesh_delivery::{InboundConfig, InboundFacts, Judgement, judge, remembered_until};
use mesh_protocol::{
    Deliver, DeliverItem, DeliverOutcome, DeliverResult, Encryption, ErrorCode, Frame, Live,
    LiveResult, MeshMessage, MessageId, PeerId, Recipient, UnixMillis, WireMessage,
};
use mesh_store::{InboxOutcome, NewInbox};
use mesh_transport::Lane;

use crate::clock;
use crate::error::chain;
use crate::link::LinkEntry;
use crate::send::app_type_of;
use crate::shared::Shared;
use crate::subscribe::Received;

/// A message that arrived, and whether it may be committed.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Who is proven to have sent it.
    pub(crate) from: PeerId,
    /// Which message, as far as it can be read.
    pub(crate) message_id: Option<MessageId>,
    pub(crate) row: Result<NewInbox, ErrorCode>,
}

impl Shared {
    /// Commits a batch and answers with one outcome per message.
    pub(crate) async fn take_batch(self: &Arc<Self>, entry: &Arc<LinkEntry>, deliver: Deliver) {
        let batch_id = deliver.batch_id;
        let now = clock::now().wall;
        let judged = deliver.items.iter().map(|item| {
            let row = self.receive_item(entry.peer, item, now);
            let message_id = match &row {
                Ok(row) => Some(row.message_id),
                Err(_) => WireMessage::decode(&item.message).map(|wire| wire.message_id()).ok(),
            };
            Judged { from: entry.peer, message_id, row }
        });
        let outcomes = self.commit_judged(judged.collect()).await;
        let result = Frame::DeliverResult(DeliverResult { batch_id, outcomes });
        // The answer overtakes bulk traffic: the sender waits for it before it sends more.
        let _closed = entry.sender.send(Lane::Urgent, &result).await;
    }

    /// Commits what may be taken; one outcome per message, in order.
    pub(crate) async fn commit_judged(
        self: &Arc<Self>,
        judged: Vec<Judged>,
    ) -> Vec<DeliverOutcome> {
        let count = judged.len();
        let mut outcomes: Vec<Option<DeliverOutcome>> = Vec::with_capacity(count);
        let mut rows = Vec::with_capacity(count);
        for Judged { from, message_id, row } in judged {
            match row {
                Ok(row) => {
                    rows.push(row);
                    outcomes.push(None);
                }
                Err(code) => outcomes.push(Some(self.refuse(from, message_id, code).await)),
            }
        }
        let committed = if rows.is_empty() {
            Vec::new()
        } else {
            match self.timed("inbox", self.store.commit_inbox(rows)).await {
                Ok(committed) => committed,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "messages could not be committed; their senders will try again");
                    return vec![DeliverOutcome::Deferred(ErrorCode::StorageError); count];
                }
            }
        };
        let newest = committed.iter().filter_map(|outcome| match outcome {
            InboxOutcome::Stored { inbox_id } => Some(*inbox_id),
            InboxOutcome::Duplicate | InboxOutcome::Full => None,
        });
        if let Some(newest) = newest.max() {
            self.inbox_grew(newest);
        }
        let mut committed = committed.into_iter();
        outcomes
            .into_iter()
            .map(|judged| {
                judged.unwrap_or_else(|| match committed.next() {
                    Some(InboxOutcome::Stored { .. }) => DeliverOutcome::Stored,
                    Some(InboxOutcome::Duplicate) => DeliverOutcome::Duplicate,
                    Some(InboxOutcome::Full) | None => {
                        DeliverOutcome::Deferred(ErrorCode::QueueFull)
                    }
                })
            })
            .collect()
    }

    /// A message that may not be taken is refused for good, unless it was taken before: the key that
    /// would open a repeat may be gone, or its date.
    async fn refuse(
        &self,
        from: PeerId,
        message_id: Option<MessageId>,
        code: ErrorCode,
    ) -> DeliverOutcome {
        if let Some(message_id) = message_id {
            match self.store.has_seen(from, message_id).await {
                Ok(true) => return DeliverOutcome::Duplicate,
                Ok(false) => {}
                // Not knowing is no reason to end a message.
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the inbox cannot be read");
                    return DeliverOutcome::Deferred(ErrorCode::StorageError);
                }
            }
        }
        tracing::debug!(peer = %from.short(), %code, "a message was refused");
        DeliverOutcome::Refused(code)
    }

    /// The inbox row of a message that `from` is proven to have sent, by its link or its signature.
    pub(crate) fn receive_item(
        &self,
        from: PeerId,
        item: &DeliverItem,
        now: UnixMillis,
    ) -> Result<NewInbox, ErrorCode> {
        if !self.view().verdict.is_member(&from) {
            return Err(ErrorCode::NotAMember);
        }
        let wire = WireMessage::decode(&item.message).map_err(|error| error.code())?;
        let facts = InboundFacts { sender: from, me: self.me, now };
        let config = InboundConfig::default();
        match judge(item, &wire, &facts, &config) {
            Judgement::Accept => {}
            Judgement::Refuse(code) => return Err(code),
        }
        let is_plain = matches!(wire, WireMessage::Plain(_));
        let message = self.open_wire(wire, from)?;
        let body = if is_plain {
            // Behind the form byte stands exactly the encoded message.
            Arc::from(item.message.get(1..).unwrap_or_default())
        } else {
            message.encode().map_err(|error| error.code())?.into()
        };
        Ok(NewInbox {
            message_id: message.message_id,
            from: message.from,
            stream: item.stream,
            sequence: item.sequence,
            priority: item.priority,
            is_broadcast: message.to == Recipient::Broadcast,
            is_sealed: message.encryption == Encryption::Sealed,
            via: Vec::new(),
            app_type: Some(app_type_of(&message.payload)),
            payload_kind: message.payload.kind(),
            body,
            timestamp: message.timestamp,
            received_at: now,
            expires_at: remembered_until(UnixMillis(item.expires_at), &config),
        })
    }

    /// The message inside, when it is what it says: from its proven sender, for this node, and sealed or
    /// not as people will be told.
    fn open_wire(&self, wire: WireMessage, from: PeerId) -> Result<MeshMessage, ErrorCode> {
        let (message, arrived) = match wire {
            WireMessage::Plain(message) => (message, Encryption::Link),
            WireMessage::Sealed(envelope) => (self.keyring().open(&envelope)?, Encryption::Sealed),
        };
        if message.encryption != arrived {
            return Err(ErrorCode::SealInvalid);
        }
        if !self.is_for_me(&message, from) {
            return Err(ErrorCode::MessageMisdirected);
        }
        Ok(message)
    }

    fn is_for_me(&self, message: &MeshMessage, from: PeerId) -> bool {
        let to_me = match message.to {
            Recipient::Peer(peer) => peer == self.me,
            Recipient::Broadcast => true,
        };
        to_me && message.from == from
    }

    /// Hands a live message over and says how it went.
    pub(crate) async fn take_live(self: &Arc<Self>, entry: &Arc<LinkEntry>, live: Live) {
        let error = self.hand_over_live(entry, &live.message).err();
        let result = LiveResult { request_id: live.request_id, error };
        let _closed = entry.sender.send(Lane::Urgent, &Frame::LiveResult(result)).await;
    }

    fn hand_over_live(&self, entry: &LinkEntry, message: &[u8]) -> Result<(), ErrorCode> {
        let view = self.view();
        if !view.verdict.is_member(&entry.peer) {
            return Err(ErrorCode::NotAMember);
        }
        let wire = WireMessage::decode(message).map_err(|error| error.code())?;
        let message = self.open_wire(wire, entry.peer)?;
        self.live.hand_over(Received {
            from_hostname: view.label(&message.from),
            received_at: clock::now().wall,
            is_live: true,
            via: Vec::new(),
            message,
        })
    }

    /// Wakes whoever reads the inbox.
    pub(crate) fn inbox_grew(&self, newest: i64) {
        self.inbox_head.send_if_modified(|head| {
            let grew = newest > *head;
            *head = newest.max(*head);
            grew
        });
    }
}
