//! Pushes for those who ask, over the façade and the control socket.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_control::{PushDetail, PushView, RollbackRequest};
use mesh_protocol::{ErrorCode, PushId};
use mesh_store::StoredPush;
use tokio::sync::watch;

use super::bundles::Kept;
use super::manifest_file::ManifestFile;
use super::notices::{APP_TYPE, Notice};
use crate::clock;
use crate::error::NodeError;
use crate::outgoing::Target;
use crate::shared::Shared;
use crate::subscribe::Filter;

/// Fewer digits of a push's id are too easily those of another one.
const DIGITS_MIN: usize = 8;

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

    /// Goes on with what was under way, and listens to what members say of pushes.
    pub(crate) async fn start_pushes(self: &Arc<Self>) -> Result<(), mesh_store::StoreError> {
        let shared = Arc::clone(self);
        // What was being put in place when the process stopped is settled before anything else. A fault of one root
        // is told where somebody asks for it.
        let _joined = tokio::task::spawn_blocking(move || shared.pushes.roots.open_all()).await;
        self.discard_forgotten().await?;
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
}

fn unknown_push(digits: &str) -> NodeError {
    let message = format!("no push that this agent made or was a target of begins with {digits}");
    NodeError::new(ErrorCode::UnknownPush, message).with_hint("`mesh-ctl pushes` lists the pushes")
}
