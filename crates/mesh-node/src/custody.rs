//! Keeping messages for members that nobody reaches, and asking others to do the same.

use std::sync::Arc;

use mesh_crypto::Verifier;
use mesh_delivery::{End, InboundConfig, Judgement, Priority, judge_expiry};
use mesh_protocol::{
    Custody, CustodyResult, DeliverOutcome, ErrorCode, Frame, MessageId, Parcel, PeerId, UnixMillis,
};
use mesh_store::{CustodyOutcome, CustodyRow, NewCustody};
use mesh_transport::Lane;

use crate::clock;
use crate::error::chain;
use crate::link::LinkEntry;
use crate::send::lane_of;
use crate::shared::{Shared, lock};

impl Shared {
    /// Asks a member to keep messages for `to`.
    pub(crate) async fn offer_custody(
        self: Arc<Self>,
        custodian: PeerId,
        request_id: u64,
        to: PeerId,
        sequences: Vec<u64>,
    ) {
        if !self.try_offer(custodian, request_id, to, &sequences).await {
            self.drive(|core, now| core.offer_unsent(request_id, now));
        }
    }

    async fn try_offer(
        self: &Arc<Self>,
        custodian: PeerId,
        request_id: u64,
        to: PeerId,
        sequences: &[u64],
    ) -> bool {
        let in_memory = self.bodies().all(sequences);
        let bodies = match in_memory {
            Some(bodies) => sequences.iter().copied().zip(bodies).collect(),
            None => match self.read_bodies(sequences).await {
                Some(bodies) => bodies,
                None => return false,
            },
        };
        let parcels = match self.make_parcels(to, bodies).await {
            Ok(parcels) => parcels,
            Err(code) => {
                tracing::warn!(to = %self.view().label(&to), %code, "messages cannot be sealed for their receiver; nobody keeps them meanwhile");
                return false;
            }
        };
        // Some may have come to their end meanwhile: the answer must fit the offer, so there is another.
        if parcels.len() != sequences.len() {
            return false;
        }
        let frame = Frame::Custody(Custody { request_id, parcels });
        self.link(&custodian)
            .is_some_and(|entry| entry.sender.try_send(lane_of(Priority::Bulk), &frame).is_ok())
    }

    /// Commits what a member asks to keep, within its quota, and answers.
    pub(crate) async fn take_custody(self: &Arc<Self>, entry: &LinkEntry, custody: Custody) {
        let Custody { request_id, parcels } = custody;
        let outcomes = self.commit_custody(entry.peer, parcels).await;
        let result = Frame::CustodyResult(CustodyResult { request_id, outcomes });
        let _closed = entry.sender.send(Lane::Urgent, &result).await;
    }

    async fn commit_custody(
        self: &Arc<Self>,
        sender: PeerId,
        parcels: Vec<Parcel>,
    ) -> Vec<DeliverOutcome> {
        let now = clock::now().wall;
        let mut outcomes = Vec::with_capacity(parcels.len());
        let mut rows = Vec::with_capacity(parcels.len());
        let mut receipts = Vec::new();
        for parcel in &parcels {
            let Parcel { from, message_id, to, .. } = *parcel;
            let known = lock(&self.core).kept_receipt(from, message_id, to);
            if let Some(receipt) = known.filter(|_| from == sender) {
                receipts.push(receipt);
                outcomes.push(Some(DeliverOutcome::Duplicate));
                continue;
            }
            match self.judge_custody(sender, parcel, now) {
                Ok(row) => {
                    rows.push(row);
                    outcomes.push(None);
                }
                Err(code) => outcomes.push(Some(DeliverOutcome::Refused(code))),
            }
            // A signature was checked, which takes its time.
            tokio::task::yield_now().await;
        }
        if !receipts.is_empty() {
            self.return_receipts(sender, receipts);
        }
        if let Err(error) = self.store_membership_or_room().await {
            tracing::error!(%error, "messages for others could not be committed");
            return vec![DeliverOutcome::Deferred(ErrorCode::StorageError); parcels.len()];
        }
        let named: Vec<NewCustody> = rows.clone();
        let committed = match self.timed("custody", self.store.insert_custody(rows)).await {
            Ok(committed) => committed,
            Err(error) => {
                tracing::error!(error = %chain(&error), "messages for others could not be committed");
                return vec![DeliverOutcome::Deferred(ErrorCode::StorageError); parcels.len()];
            }
        };
        let held = named.iter().zip(&committed).filter_map(|(row, outcome)| match outcome {
            CustodyOutcome::Stored { custody_id } => Some(CustodyRow {
                custody_id: *custody_id,
                from: row.from,
                to: row.to,
                message_id: row.message_id,
                priority: row.priority,
                expires_at: row.expires_at,
                bytes: row.parcel.len() as u64,
            }),
            CustodyOutcome::Duplicate | CustodyOutcome::Full => None,
        });
        let held: Vec<CustodyRow> = held.collect();
        if !held.is_empty() {
            tracing::debug!(from = %self.view().label(&sender), messages = held.len(), "keeping messages for a member that is away");
            self.drive(|core, now| core.hold(held, now));
        }
        let mut committed = committed.into_iter();
        let outcome = |judged: Option<DeliverOutcome>| {
            judged.unwrap_or_else(|| match committed.next() {
                Some(CustodyOutcome::Stored { .. }) => DeliverOutcome::Stored,
                Some(CustodyOutcome::Duplicate) => DeliverOutcome::Duplicate,
                Some(CustodyOutcome::Full) | None => DeliverOutcome::Deferred(ErrorCode::QueueFull),
            })
        };
        outcomes.into_iter().map(outcome).collect()
    }

    /// Only a member's own messages are kept for it, and only for other members: nobody fills another's
    /// quota, and nobody is made to keep what nobody will fetch.
    fn judge_custody(
        &self,
        sender: PeerId,
        parcel: &Parcel,
        now: UnixMillis,
    ) -> Result<NewCustody, ErrorCode> {
        let view = self.view();
        if parcel.mesh_id != view.mesh_id || !view.verdict.is_member(&sender) {
            return Err(ErrorCode::NotAMember);
        }
        if parcel.from != sender || parcel.to == self.me || parcel.to == sender {
            return Err(ErrorCode::MessageMisdirected);
        }
        if !view.verdict.is_member(&parcel.to) {
            return Err(ErrorCode::UnknownPeer);
        }
        if !parcel.is_genuine(&Verifier) {
            return Err(ErrorCode::SealInvalid);
        }
        let expires_at = UnixMillis(parcel.item.expires_at);
        match judge_expiry(expires_at, now, &InboundConfig::default()) {
            Judgement::Accept => {}
            Judgement::Refuse(code) => return Err(code),
        }
        Ok(NewCustody {
            from: parcel.from,
            to: parcel.to,
            message_id: parcel.message_id,
            priority: parcel.item.priority,
            expires_at,
            received_at: now,
            parcel: parcel.encode().map_err(|error| error.code())?.into(),
        })
    }

    /// Drops what is kept from or for peers that are no members any more.
    pub(crate) async fn forget_custody_of(&self, gone: Vec<PeerId>) {
        if gone.is_empty() {
            return;
        }
        if let Err(error) = self.store.forget_custody_of(gone).await {
            Self::log_failure("what is kept for removed members cannot be dropped", &error);
        }
    }

    /// What was kept for others has come to its end.
    pub(crate) fn finish_held(&self, custody_id: u64, message_id: MessageId, to: PeerId, end: End) {
        tracing::debug!(%message_id, to = %self.view().label(&to), ?end, "a message that was kept for another member has ended");
        self.store.finish_custody(custody_id);
    }
}
