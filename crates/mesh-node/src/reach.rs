//! Who is alive and who reaches whom, on the wire: probes, signed link states, what people are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_crypto::Verifier;
use mesh_membership::MemberState;
use mesh_protocol::{
    ErrorCode, Frame, LinkState, PeerId, Probe, ProbeResult, SignedLinkState, UnixMillis,
};
use mesh_store::PeerStatus;
use mesh_transport::Lane;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::core::Core;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// How long the subject of a probe may take to answer a ping. Less than whoever asked waits.
const PROBE_PING_TIMEOUT: Duration = Duration::from_millis(700);

/// Probes of one link that may be under way; more are left unanswered.
const PROBES_MAX: usize = 64;

/// How often last-seen times are written; the store gathers them for up to as long again.
const LAST_SEEN_EVERY: Duration = Duration::from_secs(5);

/// When a member was last heard of: over its link, if it has one, or by whomever.
pub(crate) fn last_seen(
    core: &Core,
    link: Option<&Arc<LinkEntry>>,
    peer: &PeerId,
) -> Option<UnixMillis> {
    link.map(|entry| entry.last_seen_at()).max(core.last_seen_at(peer))
}

impl Shared {
    /// Sends a frame to a linked member if there is room for it.
    pub(crate) fn tell(&self, peer: &PeerId, frame: &Frame) -> bool {
        self.link(peer).is_some_and(|entry| entry.sender.try_send(Lane::Urgent, frame).is_ok())
    }

    /// Asks `helper` whether it reaches `subject`.
    pub(crate) fn probe(self: &Arc<Self>, helper: PeerId, subject: PeerId, nonce: u64) {
        if !self.tell(&helper, &Frame::Probe(Probe { nonce, subject })) {
            self.drive(|core, now| core.probe_unsent(helper, nonce, now));
        }
    }

    /// Finds out whether this node reaches the subject at this moment, and says so.
    pub(crate) fn answer_probe(self: &Arc<Self>, entry: &Arc<LinkEntry>, probe: Probe) {
        if entry.probes.fetch_add(1, Ordering::Relaxed) >= PROBES_MAX {
            entry.probes.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        self.tasks.spawn(async move {
            let Probe { nonce, subject } = probe;
            let Some(is_reached) = shared.reaches(&subject).await else {
                entry.probes.fetch_sub(1, Ordering::Relaxed);
                return;
            };
            let (incarnation, last_seen_at) = {
                let core = lock(&shared.core);
                (core.incarnation(&subject), core.last_seen_at(&subject).unwrap_or(UnixMillis(0)).0)
            };
            let answer = ProbeResult { nonce, subject, is_reached, incarnation, last_seen_at };
            let _closed = entry.sender.send(Lane::Urgent, &Frame::ProbeResult(answer)).await;
            entry.probes.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// None when this node cannot find out: no answer is better than a wrong one.
    async fn reaches(&self, subject: &PeerId) -> Option<bool> {
        let answered = match self.link(subject) {
            Some(link) => link.ping_and_wait(PROBE_PING_TIMEOUT).await.map(drop),
            None => self.ping_routed(*subject, PROBE_PING_TIMEOUT).await.map(drop),
        };
        match answered {
            Ok(()) => Some(true),
            Err(ErrorCode::QueueFull) => None,
            Err(_) => Some(false),
        }
    }

    /// Signs this node's links, which the topology then sends out.
    pub(crate) fn publish_links(self: &Arc<Self>, state: &LinkState) {
        let signed = self.keyring().node_key().sign_link_state(state);
        match signed {
            Ok(signed) => self.drive(|core, now| core.published(signed, now)),
            Err(error) => Self::log_failure("this node's links cannot be signed", &error),
        }
    }

    /// Takes link states in that are news and that their origins signed.
    pub(crate) fn take_link_states(
        self: &Arc<Self>,
        entry: &LinkEntry,
        states: &[SignedLinkState],
    ) {
        let mut news = Vec::new();
        for signed in states {
            let Ok(state) = signed.peek() else {
                tracing::warn!(peer = %entry.peer.short(), "a link state is malformed");
                continue;
            };
            if !lock(&self.core).is_news(&state.version()) {
                continue;
            }
            match signed.verify(&Verifier) {
                Ok(state) => news.push((state, signed.clone())),
                Err(error) => {
                    tracing::warn!(peer = %entry.peer.short(), %error, "a link state was refused");
                }
            }
        }
        if !news.is_empty() {
            self.drive(|core, now| core.link_states_received(entry.peer, news, now));
        }
    }

    /// Tells people and the database how a member is.
    pub(crate) fn announce_state(&self, peer: PeerId, from: MemberState, to: MemberState) {
        let hostname = self.view().label(&peer);
        tracing::info!(peer = %peer.short(), %hostname, from = from.as_str(), to = to.as_str(), "member state");
        let (is_active, seen) = {
            let core = lock(&self.core);
            (core.is_active(&peer), core.last_seen_at(&peer))
        };
        let now = clock::now().wall;
        let detail = json!({ "peer_id": peer, "hostname": hostname, "from": from.as_str(), "to": to.as_str() });
        self.events.emit(now, "member_state", detail);
        let status = if is_active { PeerStatus::Active } else { PeerStatus::Inactive };
        if let Some(seen) = seen {
            self.store.note_peer_seen(peer, status, seen);
        }
    }

    /// Writes when members were last seen, so that the database is right to ten seconds.
    pub(crate) async fn keep_last_seen(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LAST_SEEN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let _tick = ticks.tick().await;
            let view = self.view();
            let seen: Vec<(PeerId, UnixMillis)> = {
                let (core, links) = (lock(&self.core), self.links());
                let seen = view.others().filter(|member| core.is_active(&member.peer_id));
                seen.filter_map(|member| {
                    let peer = member.peer_id;
                    Some((peer, last_seen(&core, links.get(&peer), &peer)?))
                })
                .collect()
            };
            for (peer, at) in seen {
                self.store.note_peer_seen(peer, PeerStatus::Active, at);
            }
        }
    }

    /// Removes a member that nobody has seen for longer than the mesh waits.
    pub(crate) async fn forget_member(self: Arc<Self>, peer: PeerId, last_seen_at: UnixMillis) {
        let hostname = self.view().label(&peer);
        // Where one word is not enough, words are given by people: what an agent says by itself would stand
        // against a member that has come back since.
        if lock(&self.core).membership().remove_quorum().get() > 1 {
            tracing::debug!(peer = %peer.short(), %hostname, "a member has been away for long");
            return;
        }
        let away = clock::now().wall.since(last_seen_at);
        tracing::warn!(peer = %peer.short(), %hostname, days = away.as_secs() / 86_400, "removing a member that has been away for too long");
        let reason = format!("not seen since {last_seen_at}");
        if let Err(error) = self.remove_peer(&peer.to_string(), reason).await {
            Self::log_failure("a member that has been away for too long cannot be removed", &error);
        }
    }
}
