//! What members say of pushes in messages: who pushes what, who approves, what was given up or taken back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_control::{PushMethodName, PushState, PushTargetState, PushTargetView, PushView};
use mesh_protocol::{
    CustomJson, ErrorCode, JsonText, MeshMessage, PATH_BYTES_MAX, PUSH_TARGETS_MAX, Payload,
    PeerId, PushEvent, PushFact, PushId, PushOffer, PushProblem, ROOT_NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use mesh_store::StoredPush;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ledger::Side;
use crate::clock;
use crate::error::NodeError;
use crate::outgoing::{Outgoing, Target};
use crate::shared::{Shared, lock};
use crate::subscribe::Received;

/// What members say about pushes in messages. One word for all of it keeps it in its order.
pub(crate) const APP_TYPE: &str = "mesh.push";
/// Announcements that are remembered.
const HEARD_MAX: usize = 200;
/// Targets that an event names.
const NAMED_MAX: usize = 32;
/// A path as people see it: four characters for a byte that is no text.
const SHOWN_PATH_BYTES_MAX: usize = 4 * PATH_BYTES_MAX;
/// How long a member that is away can still hear of a push.
const NOTICE_TTL: Duration = Duration::from_hours(7 * 24);

/// One of these.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Notice {
    /// Somebody pushes.
    Announced {
        push_id: PushId,
        targets: Vec<PeerId>,
        root: String,
        dest: String,
        method: PushMethodName,
        message: String,
        files: u64,
        bytes: u64,
        test: Option<String>,
        rollback_of: Option<PushId>,
    },
    /// Somebody approves of a push that waits for it, or says no and why.
    Decided { push_id: PushId, deny: Option<String> },
    /// The one who pushes has given it up: for those who have it in a message, or had no stream then.
    Cancelled { push_id: PushId, why: PushProblem },
    /// The one who says so has put back what was there before the push.
    RolledBack { push_id: PushId, by_push: PushId },
}

impl Notice {
    fn of(message: &MeshMessage) -> Option<Self> {
        let Payload::CustomJson(json) = &message.payload else { return None };
        if json.app_type != APP_TYPE {
            return None;
        }
        serde_json::from_str(json.data.as_str()).ok()
    }
}

/// Whether a message says that its sender has given this push up.
pub(super) fn is_cancel_of(message: &MeshMessage, push_id: PushId) -> bool {
    matches!(Notice::of(message), Some(Notice::Cancelled { push_id: of, why: _ }) if of == push_id)
}

/// What members have announced since the start, the newest last: enough for somebody who is no target to approve.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<VecDeque<PushView>>);

impl Heard {
    fn take(&self, view: PushView) {
        let mut heard = lock(&self.0);
        heard.retain(|known| (known.push_id, known.by_peer_id) != (view.push_id, view.by_peer_id));
        if heard.len() >= HEARD_MAX {
            heard.pop_front();
        }
        heard.push_back(view);
    }

    /// The one that the first digits belong to, if they belong to one alone.
    pub(super) fn find(&self, digits: &str) -> Option<PushView> {
        let heard = lock(&self.0);
        let mut found = heard.iter().filter(|view| view.push_id.to_string().starts_with(digits));
        found.next().filter(|_| found.next().is_none()).cloned()
    }
}

impl Shared {
    /// ANNOUNCE: every member is told, or will be when it is back. Committed when this returns.
    pub(crate) async fn announce_push(
        self: &Arc<Self>,
        offer: &PushOffer,
        rollback_of: Option<PushId>,
    ) -> Result<(), NodeError> {
        let notice = Notice::Announced {
            push_id: offer.push_id,
            targets: offer.targets.clone(),
            root: offer.root.to_string(),
            dest: offer.destination.to_string(),
            method: offer.method.into(),
            message: offer.message.clone(),
            files: offer.totals.files,
            bytes: offer.totals.bytes,
            test: offer.test.clone(),
            rollback_of,
        };
        self.notify(Target::Broadcast, &notice).await
    }

    /// Tells the one who pushed that it was taken back here.
    pub(crate) async fn tell_rolled_back(
        self: &Arc<Self>,
        push_id: PushId,
        sender: PeerId,
        by_push: PushId,
    ) -> Result<(), NodeError> {
        if sender == self.me || !self.view().verdict.is_member(&sender) {
            return Ok(());
        }
        self.notify(Target::Peer(sender), &Notice::RolledBack { push_id, by_push }).await
    }

    /// Tells a target that may have something of a push that it is to go no further.
    pub(crate) async fn tell_cancelled(
        self: &Arc<Self>,
        push_id: PushId,
        target: PeerId,
        why: PushProblem,
    ) -> Result<(), NodeError> {
        self.notify(Target::Peer(target), &Notice::Cancelled { push_id, why }).await
    }

    pub(super) async fn notify(
        self: &Arc<Self>,
        to: Target,
        notice: &Notice,
    ) -> Result<(), NodeError> {
        if self.view().others().next().is_none() {
            return Ok(());
        }
        let text = serde_json::to_string(notice).unwrap_or_default();
        let data = JsonText::parse(&text)
            .map_err(|error| NodeError::new(ErrorCode::Internal, error.to_string()))?;
        let payload = Payload::CustomJson(CustomJson { app_type: APP_TYPE.to_owned(), data });
        self.send(Outgoing { ttl: NOTICE_TTL, ..Outgoing::new(to, payload) }).await.map(|_| ())
    }

    /// Hears what a member says of a push. Says whether the message was dealt with.
    pub(super) async fn take_notice(self: &Arc<Self>, received: &Received) -> bool {
        let from = received.message.from;
        if let Payload::FileTransfer(transfer) = &received.message.payload {
            return self.take_transfer(from, transfer).await;
        }
        let Some(notice) = Notice::of(&received.message) else { return true };
        match notice {
            Notice::Announced { .. } => self.hear_announced(received, notice),
            Notice::Decided { push_id, deny } => {
                if let Err(error) = self.decide_push(push_id, from, deny).await {
                    tracing::debug!(%push_id, peer = %from.short(), %error, "a decision about a push is of no use here");
                }
            }
            Notice::Cancelled { push_id, why } => {
                self.pushes.bundles.stop(push_id, from);
                self.pushes.receivers.stop(push_id, from, why);
            }
            Notice::RolledBack { push_id, by_push } => {
                return self.hear_rolled_back(from, push_id, by_push).await.is_ok();
            }
        }
        true
    }

    fn hear_announced(&self, received: &Received, notice: Notice) {
        let Notice::Announced {
            push_id,
            targets,
            root,
            dest,
            method,
            message,
            files,
            bytes,
            test,
            rollback_of,
        } = notice
        else {
            return;
        };
        // A member may say anything; what is kept of it is as long as an offer's words at most.
        let is_bounded = root.len() <= ROOT_NAME_BYTES_MAX
            && dest.len() <= SHOWN_PATH_BYTES_MAX
            && message.len() <= TEXT_BYTES_MAX
            && test.as_ref().is_none_or(|test| test.len() <= TEXT_BYTES_MAX)
            && targets.len() <= PUSH_TARGETS_MAX;
        if !is_bounded {
            let peer = received.message.from.short();
            tracing::warn!(%peer, "an announcement of a push is longer than it may be");
            return;
        }
        let view = self.view();
        let (at, by_peer_id) = (received.message.timestamp, received.message.from);
        let target = |peer_id: PeerId| PushTargetView {
            hostname: view.label(&peer_id),
            peer_id,
            state: PushTargetState::Pending,
            since: at,
            error: None,
            location: None,
            replaced: None,
            test: None,
            bytes_done: 0,
        };
        let push = PushView {
            push_id,
            by: received.from_hostname.clone(),
            by_peer_id,
            is_own: false,
            at,
            expires_at: at.plus(NOTICE_TTL),
            root,
            dest,
            message,
            method,
            test,
            rollback_of,
            state: PushState::Running,
            files,
            bytes_total: bytes,
            bytes_sent: 0,
            error: None,
            targets: targets.into_iter().map(target).collect(),
        };
        let names = push.targets.iter().map(|target| target.hostname.as_str());
        let names: Vec<&str> = names.take(NAMED_MAX).collect();
        let detail = json!({
            "push_id": push.push_id, "by": push.by, "peer_id": push.by_peer_id, "targets": names, "targets_total": push.targets.len(),
            "root": push.root, "dest": push.dest, "method": push.method, "message": push.message,
            "files": push.files, "bytes": push.bytes_total, "rollback_of": push.rollback_of,
        });
        self.events.emit(clock::now().wall, "push_announced", detail);
        self.pushes.heard.take(push);
    }

    async fn hear_rolled_back(
        self: &Arc<Self>,
        target: PeerId,
        push_id: PushId,
        by: PushId,
    ) -> Result<(), NodeError> {
        let sides = self.store.load_push(push_id).await.map_err(NodeError::storage)?;
        let is_known = sides.iter().any(|stored| {
            let is_target = stored.row.offer.targets.contains(&target);
            stored.row.is_sender && is_target && !is_rolled_back(stored, &target)
        });
        if !is_known {
            return Ok(());
        }
        let fact = PushFact::RolledBack { target, by };
        let event = PushEvent { at: clock::now().wall, fact };
        self.record_push(push_id, Side::Sender, &event).await
    }
}

/// Whether it is recorded that a target has taken the push back.
pub(super) fn is_rolled_back(stored: &StoredPush, target: &PeerId) -> bool {
    let is_it =
        |fact: &PushFact| matches!(fact, PushFact::RolledBack { target: one, .. } if one == target);
    stored.events.iter().any(|event| is_it(&event.fact))
}
