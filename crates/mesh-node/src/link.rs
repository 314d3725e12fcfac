//! Links while they are up: one entry per peer, three lanes that are read, heartbeats.

mod entry;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_crypto::PairSecret;
use mesh_membership::{LinkInput, keeps_existing};
use mesh_protocol::{
    ErrorCode, Frame, Hello, LinkPing, LinkStateVersions, PairKeyStored, PeerId, ProtocolVersion,
    RecordIds, Refused, VersionRange, Welcome,
};
use mesh_store::PeerStatus;
use mesh_transport::{DialError, JoinRoute, Lane, LaneReceiver, Link, PendingAccept, PendingDial};
use serde_json::json;

use crate::admission::{PROOF_BYTES_MAX, fitting};
use crate::clock;
use crate::config::PAIR_KEY_GRACE;
use crate::error::chain;
use crate::shared::{Shared, lock};

pub(crate) use entry::{LinkEntry, PongSeen};

/// How long a removed peer has to read why it is cut off.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// How long a newcomer may refuse everybody without giving cause for a warning: who hears of its
/// admission, its issuer above all, may dial before the newcomer has stored the mesh it is now in.
const NEWCOMER_GRACE: Duration = Duration::from_secs(5);

/// The peer's present link survives, so a second one is closed. The core hears nothing of that one:
/// to the heartbeat it would look like a sign of life on the link that stays.
#[derive(Debug)]
struct LinkStays;

impl Shared {
    /// Dials a member once and tells the core how it went.
    pub(crate) async fn dial(self: Arc<Self>, peer: PeerId) {
        let view = self.view();
        let addresses = match view.verdict.member(&peer) {
            Some(member) if !view.is_removed() => {
                self.discovery.addresses_of(&peer, &member.addresses)
            }
            Some(_) | None => Vec::new(),
        };
        let result = self.try_dial(peer, &addresses).await;
        if let Err(error) = result {
            tracing::debug!(peer = %peer.short(), error = %chain(&error), "dial failed");
            // A member that has not heard of us refuses; the proof lets it in on the next attempt.
            if error.is_refusal() {
                self.introduce(peer, &addresses).await;
            }
            self.drive(|core, now| core.plan(LinkInput::DialFailed { peer }, now));
        }
    }

    async fn try_dial(
        self: &Arc<Self>,
        peer: PeerId,
        addresses: &[mesh_protocol::Address],
    ) -> Result<(), DialError> {
        let pending = self.transport.dial(peer, addresses).await?;
        self.greet(pending).await
    }

    /// Says hello to a member that answers, and takes the link into use.
    pub(crate) async fn greet(self: &Arc<Self>, pending: PendingDial) -> Result<(), DialError> {
        let peer = pending.peer();
        let view = self.view();
        let hello = Hello {
            versions: VersionRange::SUPPORTED,
            mesh_id: view.mesh_id,
            records_digest: view.records_digest,
            pair_key_id: self.keyring().young_pair_key(&peer, clock::now().wall),
        };
        let (link, welcome) = pending.hello(hello).await?;
        self.link_up(link, &welcome, view.records_digest).await;
        Ok(())
    }

    /// Shows a member the records that prove this node's membership.
    pub(crate) async fn introduce(
        self: &Arc<Self>,
        peer: PeerId,
        addresses: &[mesh_protocol::Address],
    ) {
        let introduce = {
            let core = lock(&self.core);
            let proof = core.membership().proof_of(&self.me).into_iter();
            let records = fitting(proof, PROOF_BYTES_MAX).collect();
            mesh_protocol::Introduce { mesh_id: core.membership().mesh_id(), records }
        };
        let frame = Frame::Introduce(introduce);
        let answer = self.transport.join_call(peer, addresses, JoinRoute::Introduce, frame).await;
        match answer {
            Ok(Frame::Refused(refused)) => self.refused_by(peer, &refused),
            Ok(Frame::Records(records)) => {
                // The member answers with what this node lacks: its own removal, for one.
                self.ingest(records.records, Some(peer)).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(peer = %peer.short(), error = %chain(&error), "introduction failed");
            }
        }
    }

    /// A member does not take this node for one.
    fn refused_by(&self, peer: PeerId, refused: &Refused) {
        let Refused { code, message } = refused;
        let now = clock::now().wall;
        let view = self.view();
        let is_newcomer = view
            .verdict
            .member(&peer)
            .is_some_and(|member| now.since(member.joined_at) < NEWCOMER_GRACE);
        if is_newcomer {
            tracing::debug!(peer = %peer.short(), %code, "a newcomer is not ready yet");
            return;
        }
        tracing::warn!(peer = %peer.short(), %code, reason = message, "a member refuses this node");
        let detail = json!({ "peer_id": peer, "code": code, "message": message });
        self.events.emit(now, "refused_by_member", detail);
    }

    /// Judges a link that a member opened, and takes it.
    pub(crate) async fn accept_link(self: Arc<Self>, pending: PendingAccept) {
        let view = self.view();
        let peer = pending.peer();
        let hello = pending.hello();
        let refusal = if hello.mesh_id != view.mesh_id || view.is_removed() {
            Some((ErrorCode::NotAMember, "this agent is in another mesh"))
        } else if !view.verdict.is_member(&peer) {
            Some((ErrorCode::NotAMember, "not a member of this mesh"))
        } else {
            None
        };
        let version = hello.versions.negotiate(VersionRange::SUPPORTED);
        let (refusal, version) = match (refusal, version) {
            (None, Some(version)) => (None, version),
            (None, None) => (
                Some((ErrorCode::VersionUnsupported, "no protocol version in common")),
                ProtocolVersion::CURRENT,
            ),
            (Some(refusal), _) => (Some(refusal), ProtocolVersion::CURRENT),
        };
        if let Some((code, message)) = refusal {
            pending.refuse(Refused { code, message: message.to_owned() }).await;
            return;
        }
        let keeps_pair_key =
            hello.pair_key_id.is_some_and(|key_id| self.keyring().has_pair_key(&peer, &key_id));
        let their_digest = hello.records_digest;
        let welcome = Welcome {
            version,
            records_digest: view.records_digest,
            is_pair_key_renewed: !keeps_pair_key,
        };
        match pending.welcome(welcome.clone()).await {
            Ok(link) => {
                let seen = Welcome { records_digest: their_digest, ..welcome };
                self.link_up(link, &seen, view.records_digest).await;
            }
            Err(error) => {
                tracing::debug!(peer = %peer.short(), error = %chain(&error), "link failed while it was accepted");
            }
        }
    }

    /// Takes a link into use. `welcome` carries the digest of the other side's records.
    async fn link_up(self: &Arc<Self>, mut link: Link, welcome: &Welcome, my_digest: [u8; 32]) {
        let peer = link.peer();
        let receivers = link.receivers();
        let streams = link.take_streams();
        let pair_secret =
            welcome.is_pair_key_renewed.then(|| PairSecret::from_bytes(link.pair_secret()));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let is_in_step = welcome.records_digest == my_digest;
        let entry = Arc::new(LinkEntry::new(id, link, is_in_step, clock::now()));
        let Ok(replaced) = self.register(&entry) else { return };
        for receiver in receivers {
            let (shared, entry) = (Arc::clone(self), Arc::clone(&entry));
            self.tasks.spawn(async move { shared.read_lane(entry, receiver).await });
        }
        self.tasks.spawn(Arc::clone(self).take_streams(peer, streams));
        self.start_feeder(&entry);
        self.announce_link(&entry, replaced.is_none());
        {
            let (shared, entry) = (Arc::clone(self), Arc::clone(&entry));
            self.tasks.spawn(async move {
                entry.link.closed().await;
                shared.link_down(&entry);
            });
        }
        // A removal or admission may have come in between the snapshot and this link.
        if !self.view().verdict.is_member(&peer) {
            entry.close();
            return;
        }
        if !entry.is_in_step.load(Ordering::Relaxed) || self.view().records_digest != my_digest {
            self.show_records(&entry).await;
        }
        let _sent = entry.ping(None);
        if let Some(secret) = pair_secret {
            self.store_pair_key(&entry, secret).await;
        }
    }

    /// Makes `entry` the peer's link and returns the one it replaces. Fails when that one stays.
    ///
    /// The set of links and what the core believes of it change under one lock: a link that comes up
    /// while another one of the peer goes down must not be taken for the one that went.
    fn register(
        self: &Arc<Self>,
        entry: &Arc<LinkEntry>,
    ) -> Result<Option<Arc<LinkEntry>>, LinkStays> {
        let (peer, is_dialled) = (entry.peer, entry.link.is_dialled());
        let registered = self.drive(|core, now| {
            let mut links = self.links();
            let existing = links.get(&peer).filter(|existing| {
                keeps_existing(self.me, peer, existing.link.is_dialled(), is_dialled)
            });
            if existing.is_some() {
                return Err(LinkStays);
            }
            let replaced = links.insert(peer, Arc::clone(entry));
            match &replaced {
                None => core.link_up(peer, now),
                Some(_) => core.link_replaced(peer, now),
            }
            Ok(replaced)
        });
        match &registered {
            Ok(Some(replaced)) => replaced.close(),
            Ok(None) => {}
            Err(LinkStays) => {
                // The peer may have dialled because it lost the link that stays: a trial finds out.
                self.drive(|core, now| core.plan(LinkInput::Doubted { peer }, now));
                entry.close();
            }
        }
        registered
    }

    /// Tells people and the database that there is a link.
    fn announce_link(&self, entry: &LinkEntry, is_new: bool) {
        let peer = entry.peer;
        if is_new {
            let label = self.view().label(&peer);
            let remote = entry.link.remote();
            tracing::info!(peer = %peer.short(), hostname = %label, %remote, "link up");
            let detail = json!({ "peer_id": peer, "hostname": label, "remote": remote.to_string(), "dialled": entry.link.is_dialled() });
            self.events.emit(entry.last_seen_at(), "link_up", detail);
        }
        self.links_changed.send_modify(|changes| *changes += 1);
        self.store.note_peer_seen(peer, PeerStatus::Active, entry.last_seen_at());
    }

    /// Commits the link's secret, then tells the peer that it may seal with it.
    async fn store_pair_key(self: &Arc<Self>, entry: &LinkEntry, secret: PairSecret) {
        // A restart without the peer's record would destroy the secret, and what was sealed with it could not be opened.
        if let Err(error) = self.store_membership_first().await {
            tracing::warn!(peer = %entry.peer.short(), %error, "the pair's secret is not stored before the peer's membership");
            return;
        }
        let now = clock::now().wall;
        let key_id = secret.key_id();
        let row = self.keyring().pair_key_row(entry.peer, &secret, now);
        if let Err(error) = self.store.insert_pair_key(row).await {
            tracing::warn!(peer = %entry.peer.short(), error = %chain(&error), "the pair's secret cannot be stored");
            return;
        }
        let is_confirmed = self.keyring().add_pair_key(entry.peer, secret, now);
        if !self.view().verdict.is_member(&entry.peer) {
            // Removed meanwhile: the removal found nothing to destroy.
            self.forget_pair_keys_of(&[entry.peer]).await;
            return;
        }
        let stored = PairKeyStored { key_id };
        let _closed = entry.sender.send(Lane::Urgent, &Frame::PairKeyStored(stored)).await;
        if is_confirmed {
            self.confirm_pair_key(entry.peer, stored).await;
        }
    }

    fn link_down(self: &Arc<Self>, entry: &LinkEntry) {
        entry.fail_pending();
        let was_current = self.drive(|core, now| {
            let mut links = self.links();
            let is_current = links.get(&entry.peer).is_some_and(|current| current.id == entry.id);
            if is_current {
                links.remove(&entry.peer);
                core.link_down(entry.peer, now);
            }
            is_current
        });
        if !was_current {
            return;
        }
        let label = self.view().label(&entry.peer);
        tracing::info!(peer = %entry.peer.short(), hostname = %label, "link down");
        let now = clock::now().wall;
        self.events.emit(now, "link_down", json!({ "peer_id": entry.peer, "hostname": label }));
        self.links_changed.send_modify(|changes| *changes += 1);
    }

    async fn read_lane(self: Arc<Self>, entry: Arc<LinkEntry>, mut receiver: LaneReceiver) {
        while let Some(next) = receiver.next().await {
            match next {
                Ok(frame) => {
                    entry.touch(clock::now().wall);
                    // Boxed: an agent with many links has three idle readers for each, and what it takes to
                    // handle the largest frame is many times what it takes to wait.
                    Box::pin(self.handle_frame(&entry, frame)).await;
                }
                Err(error) => {
                    tracing::warn!(peer = %entry.peer.short(), %error, "a member sent what is not the protocol, closing the link");
                    break;
                }
            }
        }
        entry.close();
    }

    async fn handle_frame(self: &Arc<Self>, entry: &Arc<LinkEntry>, frame: Frame) {
        match frame {
            Frame::Ping(ping) => {
                let pong = LinkPing { nonce: ping.nonce, sent_at: clock::now().wall.0 };
                let _closed = entry.sender.send(Lane::Urgent, &Frame::Pong(pong)).await;
                // As good a sign of life as an answer, should the own heartbeat find no room.
                self.drive(|core, now| core.heard(entry.peer, None, now));
            }
            Frame::Pong(pong) => {
                let rtt = entry.pong(pong);
                self.drive(|core, now| core.heard(entry.peer, rtt, now));
            }
            Frame::Deliver(deliver) => self.take_batch(entry, deliver).await,
            Frame::DeliverResult(result) => self.drive(|core, now| {
                core.batch_answered(entry.peer, result.batch_id, result.outcomes, now);
            }),
            Frame::Live(live) => self.take_live(entry, live).await,
            Frame::LiveResult(result) => entry.live_result(result),
            Frame::PairKeyStored(stored) => self.confirm_pair_key(entry.peer, stored).await,
            // A peer that was removed, but not cut off yet, learns nothing more of the mesh.
            Frame::RecordIds(_) if !self.view().verdict.is_member(&entry.peer) => {}
            Frame::RecordIds(theirs) => self.answer_record_ids(entry, &theirs.ids).await,
            Frame::Records(records) => {
                self.ingest(records.records, Some(entry.peer)).await;
                entry.is_in_step.store(true, Ordering::Relaxed);
            }
            Frame::Refused(refused) => {
                tracing::warn!(peer = %entry.peer.short(), code = %refused.code, reason = %refused.message, "a member closes the link");
                entry.close();
            }
            Frame::Probe(probe) => self.answer_probe(entry, probe),
            Frame::ProbeResult(answer) => {
                self.drive(|core, now| core.probe_answered(entry.peer, &answer, now));
            }
            Frame::LinkStateVersions(theirs) => self.drive(|core, now| {
                let LinkStateVersions { versions, wants_answer } = theirs;
                core.link_state_versions_received(entry.peer, versions, wants_answer, now);
            }),
            Frame::LinkStates(states) => self.take_link_states(entry, &states.states),
            Frame::Forward(forward) => self.take_forward(entry, forward).await,
            Frame::Receipts(receipts) => self.take_receipts(entry, receipts).await,
            Frame::Custody(custody) => self.take_custody(entry, custody).await,
            Frame::CustodyResult(result) => self.drive(|core, now| {
                core.custody_answered(entry.peer, result.request_id, result.outcomes, now);
            }),
            Frame::RoutedPing(ping) => self.take_routed_ping(entry, ping),
            Frame::Swim(swim) => self.take_swim(entry, swim),
            Frame::SyncHave(have) => self.take_have(entry, have),
            Frame::SyncParts(parts) => self.take_parts(entry, parts).await,
            Frame::SnapshotRequest(request) => self.serve_snapshot(entry, request),
            Frame::SnapshotChunk(bytes) => self.take_snapshot_chunk(entry, &bytes),
            Frame::TableDigests(digests) => self.take_digests(entry, digests),
            Frame::ConfigQuestion(question) => self.take_config_question(entry, question),
            Frame::ConfigAnswer(answer) => self.take_config_answer(entry, answer),
            Frame::OriginOwners(owners) => self.take_owners(entry, owners),
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::JoinRequest(_)
            | Frame::JoinReply(_)
            | Frame::Introduce(_) => {
                tracing::warn!(peer = %entry.peer.short(), "a member sent a frame that has no place on a link, closing it");
                entry.close();
            }
        }
    }

    async fn confirm_pair_key(&self, peer: PeerId, stored: PairKeyStored) {
        let destroy_at = clock::now().wall.plus(PAIR_KEY_GRACE);
        if self.keyring().confirm_pair_key(&peer, &stored.key_id, destroy_at)
            && let Err(error) = self.store.confirm_pair_key(peer, stored.key_id, destroy_at).await
        {
            tracing::warn!(peer = %peer.short(), error = %chain(&error), "the pair's secret cannot be confirmed");
        }
    }

    pub(crate) fn heartbeat(&self, peer: &PeerId) {
        let Some(entry) = self.link(peer) else { return };
        let _unsent = entry.ping(None);
        entry.rest();
        // What the queue had no room for is found by comparing, as at the link's start.
        if entry.is_owed_records.load(Ordering::Relaxed) {
            let ids = lock(&self.core).membership().record_ids();
            let frame = Frame::RecordIds(RecordIds { ids });
            if entry.sender.try_send(Lane::Urgent, &frame).is_ok() {
                entry.is_owed_records.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Leaves a removed peer a moment to read its removal, which was flooded, then closes its link.
    pub(crate) async fn cut_removed(self: Arc<Self>, peer: PeerId) {
        let Some(entry) = self.link(&peer) else { return };
        if !self.view().is_removed() {
            let _in_time = tokio::time::timeout(CUT_GRACE, entry.link.closed()).await;
        }
        entry.close();
    }
}
