//! Membership records on their way: checked, stored, acted upon, passed on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mesh_crypto::{Verifier, digest};
use mesh_membership::Member;
use mesh_protocol::{
    ErrorCode, FormerHostname, Frame, Hostname, PeerId, Profile, RECORDS_PER_FRAME_MAX, Record,
    RecordId, RecordIds, Records, SignedRecord, UnixMillis, VerifiedRecord, VersionRange,
};
use mesh_store::{AuditRow, PeerRow, PeerStatus, StoredRecord};
use mesh_transport::Lane;
use serde_json::json;

use crate::clock;
use crate::config::FORMER_HOSTNAME_TTL;
use crate::core::Insertions;
use crate::discover::Tailnet;
use crate::error::{NodeError, chain};
use crate::link::LinkEntry;
use crate::reach::last_seen;
use crate::shared::{Shared, lock};
use crate::unstored::add_unstored;
use crate::view::View;

/// A record as the store keeps it.
pub(crate) fn stored(record: &VerifiedRecord, replaces: Option<RecordId>) -> StoredRecord {
    StoredRecord { id: record.id(), signed: record.signed().clone(), replaces }
}

/// The row of `agent_peers` that a member has.
pub(crate) fn peer_row(member: &Member) -> PeerRow {
    PeerRow {
        peer_id: member.peer_id,
        hostname: member.hostname.to_string(),
        status: PeerStatus::Inactive,
        last_seen_at: None,
        joined_at: member.joined_at,
        tailscale_ip: member.tailscale_ip.clone(),
        tailscale_hostname: member.tailscale_hostname.clone(),
        addresses: member.addresses.clone(),
        version: member.agent_version.clone(),
    }
}

impl Shared {
    /// Takes in records from a peer: what is new is stored, acted upon and passed on.
    pub(crate) async fn ingest(self: &Arc<Self>, records: Vec<SignedRecord>, from: Option<PeerId>) {
        if records.is_empty() {
            return;
        }
        let mut verified = Vec::new();
        let mut is_about_me = false;
        // Every member passes on what is new to it, so most of what comes is known, and a digest costs
        // far less than a signature.
        let known = lock(&self.core).membership().record_ids();
        let is_known = |record: &SignedRecord| {
            let id = RecordId::from_bytes(digest(&SignedRecord::signing_bytes(&record.body)));
            known.binary_search(&id).is_ok()
        };
        for record in records.into_iter().filter(|record| !is_known(record)) {
            match record.verify(&Verifier) {
                Ok(record) => {
                    is_about_me |= matches!(record.record(), Record::Profile(profile) if profile.peer == self.me);
                    verified.push(record);
                }
                Err(error) => {
                    tracing::warn!(from = from.map(|peer| peer.short()), %error, "a membership record was refused");
                }
            }
        }
        if let Err(error) = self.insert_verified(verified, from).await {
            tracing::error!(%error, "membership records were not stored");
        }
        // Somebody has a newer profile of this node than it has itself: its database was restored from
        // a backup. What that profile says must not stand, the keys in it may be lost.
        if is_about_me && let Err(error) = self.refresh_profile(None).await {
            tracing::error!(%error, "this node's profile cannot be renewed");
        }
    }

    /// Stores and acts upon records that were checked or made here.
    ///
    /// In a task of its own: a caller that gives up must not leave memory and disk apart.
    pub(crate) async fn insert_verified(
        self: &Arc<Self>,
        records: Vec<VerifiedRecord>,
        from: Option<PeerId>,
    ) -> Result<(), NodeError> {
        let shared = Arc::clone(self);
        let inserted = self.tasks.isolate(async move { shared.put_in_force(records, from).await });
        inserted.await.unwrap_or_else(|_| Err(NodeError::stopping()))
    }

    async fn put_in_force(
        self: &Arc<Self>,
        records: Vec<VerifiedRecord>,
        from: Option<PeerId>,
    ) -> Result<(), NodeError> {
        let mut unstored = self.membership_gate.lock().await;
        let before = self.view();
        let done = self.drive(|core, now| {
            let done = core.insert(records, now);
            if !done.new.is_empty() {
                self.membership_gate.fall_behind();
                // Published under the core's lock: whoever acts on a wish sees this membership.
                self.set_view(View::new(self.me, core.membership()));
            }
            done
        });
        for (id, reason) in &done.refused {
            tracing::warn!(record = %id.short(), ?reason, "a membership record was refused");
        }
        if done.new.is_empty() {
            return Ok(());
        }
        let after = self.view();
        self.flood(&done, from);
        self.announce(&before, &after, &done);
        let members = before.verdict.members().keys();
        let gone: Vec<PeerId> =
            members.filter(|peer| !after.verdict.is_member(peer)).copied().collect();
        self.forget_pair_keys_of(&gone).await;
        self.forget_custody_of(gone).await;
        for (record, replaced) in &done.new {
            add_unstored(&mut unstored, stored(record, *replaced));
        }
        self.store_records(&mut unstored, NodeError::unstored).await
    }

    /// Destroys the secrets shared with peers that are no members, in memory and on disk.
    pub(crate) async fn forget_pair_keys_of(&self, gone: &[PeerId]) {
        for peer in gone {
            self.keyring().forget_peer(peer);
            if let Err(error) = self.store.forget_pair_keys(*peer).await {
                Self::log_failure("the secrets of a removed peer cannot be destroyed", &error);
            }
        }
    }

    /// Writes `agent_peers` as the verdict has it.
    pub(crate) async fn sync_peer_rows(&self) -> Result<(), NodeError> {
        let view = self.view();
        let rows = {
            let (core, links) = (lock(&self.core), self.links());
            let rows = view.verdict.members().values().map(|member| {
                let mut row = peer_row(member);
                if member.peer_id == self.me {
                    row.status = PeerStatus::Active;
                    row.last_seen_at = Some(clock::now().wall);
                } else {
                    let link = links.get(&member.peer_id);
                    if link.is_some() || core.is_active(&member.peer_id) {
                        row.status = PeerStatus::Active;
                    }
                    row.last_seen_at = last_seen(&core, link, &member.peer_id);
                }
                row
            });
            rows.collect()
        };
        self.store.sync_peers(rows).await.map_err(NodeError::storage)
    }

    /// Passes new records on to every linked peer but the one they came from. What a full queue has
    /// no room for is found again by a comparison with the next heartbeat.
    fn flood(&self, done: &Insertions, from: Option<PeerId>) {
        let new: Vec<SignedRecord> =
            done.new.iter().map(|(record, _)| record.signed().clone()).collect();
        let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
        for chunk in new.chunks(RECORDS_PER_FRAME_MAX) {
            let frame = Frame::Records(Records { records: chunk.to_vec() });
            let frame = frame.encode().map(Bytes::from);
            for entry in links.iter().filter(|entry| Some(entry.peer) != from) {
                let is_sent = frame.as_ref().is_ok_and(|frame| {
                    entry.sender.try_send_encoded(Lane::Urgent, frame.clone()).is_ok()
                });
                if !is_sent {
                    entry.is_in_step.store(false, Ordering::Relaxed);
                    entry.is_owed_records.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Tells people what changed.
    fn announce(&self, before: &View, after: &View, done: &Insertions) {
        let now = clock::now().wall;
        for (record, _) in &done.new {
            let subject = record.record().subject();
            match record.record() {
                Record::Founding(_) => {}
                Record::Admission(admission) => {
                    if after.verdict.is_member(&subject) && !before.verdict.is_member(&subject) {
                        let hostname = after.label(&subject);
                        tracing::info!(peer = %subject.short(), %hostname, "peer joined");
                        let detail = json!({ "peer_id": subject, "hostname": hostname, "sponsor": after.label(&admission.sponsor), "sponsor_peer_id": admission.sponsor });
                        self.emit_audited(now, "peer_joined", Some(admission.sponsor), detail);
                    }
                }
                Record::Removal(removal) => {
                    if !after.verdict.is_member(&subject) && before.verdict.is_member(&subject) {
                        let hostname = before.label(&subject);
                        tracing::warn!(peer = %subject.short(), %hostname, "peer removed");
                        let detail = json!({ "peer_id": subject, "hostname": hostname, "by": before.label(&removal.remover), "by_peer_id": removal.remover, "reason": removal.reason });
                        self.emit_audited(now, "peer_removed", Some(removal.remover), detail);
                    } else if let Some(pending) = after.verdict.pending_removal_of(&subject) {
                        let hostname = after.label(&subject);
                        let (asked, needed) = (pending.by.len(), pending.needed);
                        tracing::warn!(peer = %subject.short(), %hostname, asked, needed, "a removal was asked for");
                        let detail = json!({ "peer_id": subject, "hostname": hostname, "by": after.label(&removal.remover), "by_peer_id": removal.remover, "reason": removal.reason, "asked": asked, "needed": needed });
                        self.emit_audited(now, "removal_asked", Some(removal.remover), detail);
                    }
                }
                Record::Profile(_) => {
                    // A first profile is no renaming: there was only a stand-in for the name before.
                    let old = before.verdict.member(&subject).filter(|member| member.revision > 0);
                    let old = old.map(|member| &member.hostname);
                    let new = after.verdict.member(&subject).map(|member| &member.hostname);
                    if let (Some(old), Some(new)) = (old, new)
                        && old != new
                    {
                        tracing::info!(peer = %subject.short(), %old, %new, "peer renamed");
                        let detail = json!({ "peer_id": subject, "former": old, "hostname": new });
                        self.emit_audited(now, "peer_renamed", Some(subject), detail);
                    }
                }
            }
        }
        if after.is_removed() && !before.is_removed() {
            tracing::error!("this agent was removed from its mesh");
            self.events.emit(now, "removed_from_mesh", json!({ "mesh_id": after.mesh_id }));
        }
    }

    /// An event that is kept in the audit trail as well.
    pub(crate) fn emit_audited(
        &self,
        at: UnixMillis,
        kind: &'static str,
        actor: Option<PeerId>,
        detail: serde_json::Value,
    ) {
        self.store.audit(AuditRow { at, kind: kind.to_owned(), actor, detail: detail.to_string() });
        self.events.emit(at, kind, detail);
    }

    /// Says which records this side has; the other side answers with those that are missing here.
    pub(crate) async fn show_records(&self, entry: &LinkEntry) {
        if entry.may_show_records() {
            let ids = lock(&self.core).membership().record_ids();
            let _closed =
                entry.sender.send(Lane::Urgent, &Frame::RecordIds(RecordIds { ids })).await;
        }
    }

    /// Sends what the other side lacks, and asks for what this side does.
    pub(crate) async fn answer_record_ids(&self, entry: &LinkEntry, theirs: &[RecordId]) {
        let (missing, lacks_some) = {
            let core = lock(&self.core);
            let membership = core.membership();
            let ids = membership.record_ids();
            let lacks_some = theirs.iter().any(|id| ids.binary_search(id).is_err());
            (membership.missing_from(theirs), lacks_some)
        };
        if lacks_some {
            self.show_records(entry).await;
        }
        entry.records_given.fetch_add(missing.len() as u64, Ordering::Relaxed);
        // Sent even when nothing is missing: it tells the other side that it is in step.
        let mut chunks: Vec<Vec<SignedRecord>> =
            missing.chunks(RECORDS_PER_FRAME_MAX).map(<[SignedRecord]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        for records in chunks {
            let frame = Frame::Records(Records { records });
            if entry.sender.send(Lane::Urgent, &frame).await.is_err() {
                return;
            }
        }
    }

    /// This node's profile for a mesh, one revision after `previous`.
    pub(crate) fn make_profile(
        &self,
        mesh_id: mesh_protocol::MeshId,
        hostname: Hostname,
        former_hostnames: Vec<FormerHostname>,
        revision: u64,
    ) -> Result<VerifiedRecord, NodeError> {
        let sealing_key = self.keyring().sealing_public_key().ok_or_else(|| {
            NodeError::new(ErrorCode::Internal, "this node has no sealing key; nothing was done")
        })?;
        let Tailnet { ip, name } = self.discovery.tailnet(self.view().verdict.member(&self.me));
        let profile = Profile {
            mesh_id,
            peer: self.me,
            revision,
            updated_at: clock::now().wall,
            hostname,
            former_hostnames,
            addresses: self.addresses(),
            sealing_key,
            tailscale_ip: ip,
            tailscale_hostname: name,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            versions: VersionRange::SUPPORTED,
        };
        self.sign(&Record::Profile(profile))
    }

    /// Publishes a new profile when what it says is not what is so. True when it did.
    pub(crate) async fn refresh_profile(
        self: &Arc<Self>,
        rename: Option<Hostname>,
    ) -> Result<bool, NodeError> {
        let view = self.view();
        let now = clock::now().wall;
        let Some(member) = view.verdict.member(&self.me) else { return Ok(false) };
        let mut former: Vec<FormerHostname> =
            member.former_hostnames.iter().filter(|name| name.until > now).cloned().collect();
        let hostname = match rename {
            Some(hostname) => hostname,
            // Without a profile the mesh only has a stand-in for the name.
            None if member.revision == 0 => self.configured_hostname(),
            None => member.claimed_hostname.clone(),
        };
        if hostname != member.claimed_hostname && member.revision > 0 {
            former.retain(|name| {
                name.hostname != hostname && name.hostname != member.claimed_hostname
            });
            former.push(FormerHostname {
                hostname: member.claimed_hostname.clone(),
                until: now.plus(FORMER_HOSTNAME_TTL),
            });
            let surplus = former.len().saturating_sub(mesh_protocol::FORMER_HOSTNAMES_MAX);
            former.drain(..surplus);
        }
        let Tailnet { ip, name } = self.discovery.tailnet(Some(member));
        let is_so = member.revision > 0
            && hostname == member.claimed_hostname
            && member.addresses == self.addresses()
            && (&member.tailscale_ip, &member.tailscale_hostname) == (&ip, &name)
            && member.sealing_key == self.keyring().sealing_public_key()
            && member.agent_version == env!("CARGO_PKG_VERSION")
            && member.versions == VersionRange::SUPPORTED;
        if is_so {
            return Ok(false);
        }
        let profile =
            self.make_profile(view.mesh_id, hostname, former, member.revision.saturating_add(1))?;
        self.insert_verified(vec![profile], None).await?;
        Ok(true)
    }

    /// Renames this node across the mesh; returns the name before and how many members were told at once.
    pub(crate) async fn rename(
        self: &Arc<Self>,
        hostname: Hostname,
    ) -> Result<(Hostname, usize), NodeError> {
        let _gate = self.admission_gate.lock().await;
        let view = self.view();
        view.check_member()?;
        let Some(before) = view.my_hostname().cloned() else {
            return Err(NodeError::new(
                ErrorCode::NotAMember,
                "this agent has no name in its mesh",
            ));
        };
        if let Some(holder) = view.others().find(|member| member.hostname == hostname) {
            return Err(NodeError::new(
                ErrorCode::HostnameTaken,
                format!(
                    "{hostname} is the name of member {}; nothing was changed",
                    holder.peer_id.short()
                ),
            )
            .with_hint("choose another name; `mesh-ctl peers` lists the ones in use"));
        }
        self.refresh_profile(Some(hostname)).await?;
        Ok((before, self.links().len()))
    }

    /// Signs a record of this node.
    pub(crate) fn sign(&self, record: &Record) -> Result<VerifiedRecord, NodeError> {
        self.keyring().node_key().sign_record(record).map_err(|error| {
            NodeError::new(ErrorCode::Internal, format!("a record cannot be signed: {error}"))
        })
    }

    /// Logs what cannot be told to anybody.
    pub(crate) fn log_failure(what: &'static str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(error = %chain(error), "{what}");
    }
}
