//! Pushes for those who ask: over the façade, the control socket, and by messages of members.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_control::{
    PushDetail, PushMethodName, PushState, PushTargetState, PushTargetView, PushView,
    RollbackRequest,
};
use mesh_protocol::{
    CustomJson, ErrorCode, JsonText, MeshMessage, PUSH_TARGETS_MAX, Payload, PeerId, PushEvent,
    PushFact, PushId, PushOffer,
};
use mesh_store::StoredPush;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::bundles::Kept;
use super::ledger::Side;
use super::manifest_file::ManifestFile;
use crate::clock;
use crate::error::NodeError;
use crate::outgoing::{Outgoing, Target};
use crate::shared::{Shared, lock};
use crate::subscribe::{Filter, Received};

/// What members say about pushes in messages. One word for all of it keeps it in its order.
pub(crate) const APP_TYPE: &str = "mesh.push";
/// Fewer digits of a push's id are too easily those of another one.
const DIGITS_MIN: usize = 8;
/// Announcements that are remembered.
const HEARD_MAX: usize = 200;
/// How long a member that is away can still hear of a push.
const NOTICE_TTL: Duration = Duration::from_hours(7 * 24);

/// One of these.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Notice {
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
    /// The one who pushes has given it up: for those who have it in a message, and no stream.
    Cancelled { push_id: PushId },
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
    matches!(Notice::of(message), Some(Notice::Cancelled { push_id: of }) if of == push_id)
}

/// What members have announced since the start, the newest last: enough for somebody who is no target to approve.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<VecDeque<PushView>>);

impl Heard {
    fn take(&self, view: PushView) {
        let mut heard = lock(&self.0);
        if heard.len() >= HEARD_MAX {
            heard.pop_front();
        }
        heard.push_back(view);
    }

    /// The one that the first digits belong to, if they belong to one alone.
    fn find(&self, digits: &str) -> Option<PushView> {
        let heard = lock(&self.0);
        let mut found = heard.iter().filter(|view| view.push_id.to_string().starts_with(digits));
        found.next().filter(|_| found.next().is_none()).cloned()
    }
}

impl Shared {
    /// The push that the first digits of an id belong to.
    pub(crate) async fn find_push(&self, digits: &str) -> Result<PushId, NodeError> {
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !is_hex || digits.len() < DIGITS_MIN {
            let message =
                format!("a push is named by its id, or by at least {DIGITS_MIN} digits of it");
            return Err(NodeError::new(ErrorCode::BadRequest, message)
                .with_hint("`mesh-ctl pushes` lists the pushes"));
        }
        let digits = digits.to_ascii_lowercase();
        let found = self.store.find_pushes(&digits).await.map_err(NodeError::storage)?;
        match *found.as_slice() {
            [push_id] => Ok(push_id),
            [] => Err(unknown_push(&digits)),
            _ => {
                let message = format!("several pushes begin with {digits}");
                Err(NodeError::new(ErrorCode::AmbiguousPush, message).with_hint("give more digits"))
            }
        }
    }

    /// What is recorded of a push here, the sender's side first.
    async fn stored_push(&self, push_id: PushId) -> Result<StoredPush, NodeError> {
        let mut sides = self.store.load_push(push_id).await.map_err(NodeError::storage)?;
        sides.sort_by_key(|stored| !stored.row.is_sender);
        sides.into_iter().next().ok_or_else(|| unknown_push(&push_id.to_string()))
    }

    pub(crate) async fn push_of(&self, push_id: PushId) -> Result<PushView, NodeError> {
        Ok(self.push_view(&self.stored_push(push_id).await?))
    }

    pub(crate) async fn detail_of(&self, push_id: PushId) -> Result<PushDetail, NodeError> {
        Ok(self.push_detail(&self.stored_push(push_id).await?))
    }

    /// Fires whenever something was recorded of any push.
    pub(crate) fn follow_pushes(&self) -> watch::Receiver<u64> {
        self.pushes.ledger.follow()
    }

    /// The newest pushes; one that this node has made to itself is there once.
    pub(crate) async fn list_pushes(&self, limit: u64) -> Result<Vec<PushView>, NodeError> {
        let stored = self.store.list_pushes(limit).await.map_err(NodeError::storage)?;
        let own: BTreeSet<PushId> = stored
            .iter()
            .filter(|stored| stored.row.is_sender)
            .map(|stored| stored.row.push_id)
            .collect();
        let is_shown =
            |stored: &&StoredPush| stored.row.is_sender || !own.contains(&stored.row.push_id);
        Ok(stored.iter().filter(is_shown).map(|stored| self.push_view(stored)).collect())
    }

    /// Approves of a push, or denies it: here, or by telling its targets.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        digits: &str,
        deny: Option<String>,
    ) -> Result<PushView, NodeError> {
        match self.find_push(digits).await {
            Ok(push_id) => {
                let stored = self.stored_push(push_id).await?;
                if stored.row.by == self.me {
                    let message = "whoever pushes cannot approve of it as well; nothing was done";
                    return Err(NodeError::new(ErrorCode::BadRequest, message)
                        .with_hint("run `mesh-ctl pushes approve` on another member"));
                }
                self.decide_push(push_id, self.me, deny).await?;
                self.push_of(push_id).await
            }
            Err(error) if error.code == ErrorCode::UnknownPush => {
                let Some(push) = self.pushes.heard.find(digits) else { return Err(error) };
                let notice = Notice::Decided { push_id: push.push_id, deny };
                self.notify(Target::Broadcast, &notice).await?;
                Ok(push)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up a push of this node.
    pub(crate) async fn cancel(self: &Arc<Self>, digits: &str) -> Result<PushView, NodeError> {
        let push_id = self.find_push(digits).await?;
        if !self.cancel_push(push_id) {
            let push = self.push_of(push_id).await?;
            let message = if push.is_own {
                "the push is over everywhere; nothing was done".to_owned()
            } else {
                format!("only {} can give up this push; nothing was done", push.by)
            };
            return Err(NodeError::new(ErrorCode::BadRequest, message)
                .with_hint("`mesh-ctl rollback` takes back what is in place"));
        }
        self.push_of(push_id).await
    }

    /// Brings back what was there before a push.
    pub(crate) async fn roll_back(
        self: &Arc<Self>,
        request: RollbackRequest,
    ) -> Result<PushView, NodeError> {
        let of = self.find_push(&request.push_id).await?;
        let push = self.push_of(of).await?;
        let (view, now) = (self.view(), clock::now().wall);
        let mut targets = Vec::new();
        if request.to.is_empty() {
            targets.extend(push.targets.iter().map(|target| target.peer_id));
        }
        for name in &request.to {
            let peer = view.resolve(name, now)?.peer;
            if !push.targets.iter().any(|target| target.peer_id == peer) {
                let message = format!("{name} is no target of that push; nothing was done");
                let hint = format!("`mesh-ctl pushes {of}` shows its targets");
                return Err(NodeError::new(ErrorCode::BadRequest, message).with_hint(hint));
            }
            targets.push(peer);
        }
        let message = request.message.unwrap_or_default();
        let push_id = self.start_rollback(of, targets, request.force, message).await?;
        self.push_of(push_id).await
    }

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

    /// Tells a target that has a push in a message that it is to go no further.
    pub(crate) async fn tell_cancelled(
        self: &Arc<Self>,
        push_id: PushId,
        target: PeerId,
    ) -> Result<(), NodeError> {
        self.notify(Target::Peer(target), &Notice::Cancelled { push_id }).await
    }

    async fn notify(self: &Arc<Self>, to: Target, notice: &Notice) -> Result<(), NodeError> {
        if self.view().others().next().is_none() {
            return Ok(());
        }
        let text = serde_json::to_string(notice).unwrap_or_default();
        let data = JsonText::parse(&text)
            .map_err(|error| NodeError::new(ErrorCode::Internal, error.to_string()))?;
        let payload = Payload::CustomJson(CustomJson { app_type: APP_TYPE.to_owned(), data });
        self.send(Outgoing { ttl: NOTICE_TTL, ..Outgoing::new(to, payload) }).await.map(|_| ())
    }

    /// Goes on with what was under way, and listens to what members say of pushes.
    pub(crate) async fn start_pushes(self: &Arc<Self>) -> Result<(), mesh_store::StoreError> {
        let shared = Arc::clone(self);
        // What was being put in place when the process stopped is settled before anything else. A fault of one root
        // is told where somebody asks for it.
        let _joined = tokio::task::spawn_blocking(move || shared.pushes.roots.open_all()).await;
        for stored in self.store.load_open_pushes().await? {
            if stored.row.is_sender {
                self.resume_sending(stored);
            } else {
                self.resume_receiving(stored);
            }
        }
        self.resume_bundles().await;
        let shared = Arc::clone(self);
        let handler = move |received| {
            let shared = Arc::clone(&shared);
            async move { shared.take_notice(&received).await }
        };
        let filter = Filter::AppType(APP_TYPE.to_owned());
        self.tasks.spawn(Arc::clone(self).run_handler(filter, handler));
        Ok(())
    }

    /// Forgets the oldest pushes that are over, beyond those that are remembered.
    pub(crate) async fn prune_pushes(&self) {
        let gone = match self.store.prune_pushes(self.config.pushes.remembered_max).await {
            Ok(gone) => gone,
            Err(error) => {
                Self::log_failure("old pushes cannot be pruned", &error);
                return;
            }
        };
        let data_dir = self.data_dir.path().to_owned();
        let removed = tokio::task::spawn_blocking(move || {
            gone.into_iter().try_for_each(|push_id| {
                Kept::Sent.remove(&data_dir, push_id)?;
                ManifestFile::remove(&data_dir, push_id)
            })
        });
        if let Ok(Err(error)) = removed.await {
            Self::log_failure("the lists of old pushes cannot be removed", &error);
        }
    }

    /// Hears what a member says of a push. Says whether the message was dealt with.
    async fn take_notice(self: &Arc<Self>, received: &Received) -> bool {
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
            Notice::Cancelled { push_id } => self.pushes.bundles.stop(push_id, from),
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
            targets: targets.into_iter().take(PUSH_TARGETS_MAX).map(target).collect(),
        };
        let names: Vec<&str> = push.targets.iter().map(|target| target.hostname.as_str()).collect();
        let detail = json!({
            "push_id": push.push_id, "by": push.by, "peer_id": push.by_peer_id, "targets": names,
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

fn is_rolled_back(stored: &StoredPush, target: &PeerId) -> bool {
    let is_it =
        |fact: &PushFact| matches!(fact, PushFact::RolledBack { target: one, .. } if one == target);
    stored.events.iter().any(|event| is_it(&event.fact))
}

fn unknown_push(digits: &str) -> NodeError {
    let message = format!("no push that this agent made or was a target of begins with {digits}");
    NodeError::new(ErrorCode::UnknownPush, message).with_hint("`mesh-ctl pushes` lists the pushes")
}
