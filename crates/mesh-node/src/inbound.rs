//! From the link to the inbox: each message is judged, opened, committed, and only then answered.

use std::sync::Arc;

use mesh_delivery::{InboundConfig, InboundFacts, Judgement, judge, remembered_until};
use mesh_protocol::{
    Deliver, DeliverItem, DeliverOutcome, DeliverResult, Encryption, ErrorCode, Frame, Live,
    LiveResult, MeshMessage, Recipient, UnixMillis, WireMessage,
};
use mesh_store::{InboxOutcome, NewInbox};
use mesh_transport::Lane;

use crate::clock;
use crate::error::chain;
use crate::link::LinkEntry;
use crate::send::app_type_of;
use crate::shared::Shared;
use crate::subscribe::Received;

impl Shared {
    /// Commits a batch and answers with one outcome per message.
    pub(crate) async fn take_batch(self: &Arc<Self>, entry: &Arc<LinkEntry>, deliver: Deliver) {
        let batch_id = deliver.batch_id;
        let outcomes = self.commit_batch(entry, deliver.items).await;
        let result = Frame::DeliverResult(DeliverResult { batch_id, outcomes });
        // The answer overtakes bulk traffic: the sender waits for it before it sends more.
        let _closed = entry.sender.send(Lane::Urgent, &result).await;
    }

    async fn commit_batch(
        self: &Arc<Self>,
        entry: &LinkEntry,
        items: Vec<DeliverItem>,
    ) -> Vec<DeliverOutcome> {
        let now = clock::now().wall;
        let mut outcomes: Vec<Option<DeliverOutcome>> = Vec::with_capacity(items.len());
        let mut rows = Vec::with_capacity(items.len());
        for item in &items {
            match self.receive_item(entry, item, now) {
                Ok(row) => {
                    rows.push(row);
                    outcomes.push(None);
                }
                Err(code) => {
                    tracing::debug!(peer = %entry.peer.short(), %code, "a message was refused");
                    outcomes.push(Some(DeliverOutcome::Refused(code)));
                }
            }
        }
        let committed = if rows.is_empty() {
            Vec::new()
        } else {
            match self.store.commit_inbox(rows).await {
                Ok(committed) => committed,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "messages could not be committed; their senders will try again");
                    return vec![DeliverOutcome::Deferred(ErrorCode::StorageError); items.len()];
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

    fn receive_item(
        &self,
        entry: &LinkEntry,
        item: &DeliverItem,
        now: UnixMillis,
    ) -> Result<NewInbox, ErrorCode> {
        if !self.view().verdict.is_member(&entry.peer) {
            return Err(ErrorCode::NotAMember);
        }
        let wire = WireMessage::decode(&item.message).map_err(|error| error.code())?;
        let facts = InboundFacts { link_peer: entry.peer, me: self.me, now };
        let config = InboundConfig::default();
        match judge(item, &wire, &facts, &config) {
            Judgement::Accept => {}
            Judgement::Refuse(code) => return Err(code),
        }
        let is_plain = matches!(wire, WireMessage::Plain(_));
        let message = self.open_wire(wire, entry)?;
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
            app_type: Some(app_type_of(&message.payload)),
            payload_kind: message.payload.kind(),
            body,
            timestamp: message.timestamp,
            received_at: now,
            expires_at: remembered_until(UnixMillis(item.expires_at), &config),
        })
    }

    /// The message inside, when it is what it says: from the link's peer, for this node, and sealed or
    /// not as people will be told.
    fn open_wire(&self, wire: WireMessage, entry: &LinkEntry) -> Result<MeshMessage, ErrorCode> {
        let (message, arrived) = match wire {
            WireMessage::Plain(message) => (message, Encryption::Link),
            WireMessage::Sealed(envelope) => (self.keyring().open(&envelope)?, Encryption::Sealed),
        };
        if message.encryption != arrived {
            return Err(ErrorCode::SealInvalid);
        }
        if !self.is_for_me(&message, entry) {
            return Err(ErrorCode::MessageMisdirected);
        }
        Ok(message)
    }

    fn is_for_me(&self, message: &MeshMessage, entry: &LinkEntry) -> bool {
        let to_me = match message.to {
            Recipient::Peer(peer) => peer == self.me,
            Recipient::Broadcast => true,
        };
        to_me && message.from == entry.peer
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
        let message = self.open_wire(wire, entry)?;
        self.live.hand_over(Received {
            from_hostname: view.label(&message.from),
            received_at: clock::now().wall,
            is_live: true,
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
