//! The task of a push that this node makes.
//!
//! `request.rs` makes a task of what was asked for, `task.rs` carries out what the engine wishes, `session.rs` talks with one
//! target, `serving.rs` reads what it asks for, and `spread.rs` shares the work among several.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use mesh_control::PushRequest;
use mesh_protocol::{
    ErrorCode, PeerId, PushId, PushMessage, PushMethod, PushOffer, PushProblem, PushTotals,
    RelativePath,
};
use mesh_store::{PushRow, StoredPush};
use mesh_tree::Source;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::prepare::PrepareWatch;
use super::pulls::Pulled;
use super::roots::Roots;
use crate::clock;
use crate::error::NodeError;
use crate::shared::{Shared, lock};

mod bundling;
mod chunks;
mod request;
mod serving;
mod session;
mod spread;
mod task;

use request::sources_of;
pub(super) use request::{default_root, push_id};
use task::{Control, SendingTask};

/// The pushes of this node that are under way.
#[derive(Debug, Default)]
pub(crate) struct Senders(Mutex<BTreeMap<PushId, Handle>>);

#[derive(Debug)]
struct Handle {
    control: mpsc::UnboundedSender<Control>,
    watch: Arc<PrepareWatch>,
}

impl Senders {
    fn tell(&self, push_id: PushId, control: Control) -> bool {
        lock(&self.0).get(&push_id).is_some_and(|handle| handle.control.send(control).is_ok())
    }
}

/// What is kept of a rollback that is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct RollbackRequested {
    is_forced: bool,
}

/// What a push is made of.
#[derive(Debug)]
enum Work {
    Files(PushRequest),
    /// What a member asked for; none when its root is not open any more.
    Pulled(Option<Source>),
    Rollback {
        of: PushId,
        is_forced: bool,
    },
}

impl Work {
    fn of(row: &PushRow, roots: &Roots) -> Result<Self, serde_json::Error> {
        Ok(match row.rollback_of {
            None => match serde_json::from_slice::<Pulled>(&row.request) {
                Ok(pulled) => Self::Pulled(pulled.source(roots)),
                Err(_) => Self::Files(serde_json::from_slice(&row.request)?),
            },
            Some(of) => {
                let RollbackRequested { is_forced } = serde_json::from_slice(&row.request)?;
                Self::Rollback { of, is_forced }
            }
        })
    }

    /// What is read; none of a rollback.
    fn sources(&self) -> Option<Result<Vec<Source>, NodeError>> {
        match self {
            Self::Files(request) => Some(sources_of(request)),
            Self::Pulled(source) => {
                Some(source.clone().map(|source| vec![source]).ok_or_else(|| {
                    NodeError::new(ErrorCode::UnknownRoot, "the root is not open any more")
                }))
            }
            Self::Rollback { .. } => None,
        }
    }
}

impl Shared {
    /// Stores a push, then starts it.
    ///
    /// # Errors
    /// What is wrong with the request; nothing was stored then.
    pub(crate) async fn start_push(
        self: &Arc<Self>,
        request: PushRequest,
    ) -> Result<PushId, NodeError> {
        let row = self.row_of(&request)?;
        let push_id = row.push_id;
        let _is_new = self.begin_push(row.clone()).await?;
        self.send_push(StoredPush { row, events: Vec::new() }, Work::Files(request));
        Ok(push_id)
    }

    /// Pushes to a member what it asked for. Says whether the push is new.
    pub(super) async fn start_pulled(
        self: &Arc<Self>,
        row: PushRow,
        pulled: &Pulled,
    ) -> Result<bool, NodeError> {
        let is_new = self.begin_push(row.clone()).await?;
        if is_new {
            let work = Work::Pulled(pulled.source(&self.pushes.roots));
            self.send_push(StoredPush { row, events: Vec::new() }, work);
        }
        Ok(is_new)
    }

    /// Takes a push back at `targets`, of which this node may be one.
    ///
    /// # Errors
    /// The push is not known, or was never made to one of them; nothing was stored then.
    pub(crate) async fn start_rollback(
        self: &Arc<Self>,
        of: PushId,
        targets: Vec<PeerId>,
        is_forced: bool,
        message: String,
    ) -> Result<PushId, NodeError> {
        self.view().check_member()?;
        let now = clock::now().wall;
        request::check_text("the message", &message, now)?;
        let known = self.store.load_push(of).await.map_err(NodeError::storage)?;
        let Some(known) = known.first() else {
            let message = "no push of this id is known here; nothing was done";
            return Err(NodeError::new(ErrorCode::UnknownPush, message));
        };
        let push_id = push_id();
        let offer = PushOffer {
            push_id,
            by: self.me,
            targets,
            root: known.row.offer.root.clone(),
            destination: RelativePath::ROOT,
            message,
            method: PushMethod::Stream,
            totals: PushTotals::default(),
            manifest: [0; 32],
            test: None,
            made_at: now,
            expires_at: now.plus(self.config.pushes.ttl),
        };
        let row = PushRow {
            push_id,
            is_sender: true,
            by: self.me,
            rollback_of: Some(of),
            offer,
            // A structure of one word always has a form in JSON.
            request: serde_json::to_vec(&RollbackRequested { is_forced }).unwrap_or_default(),
            made_at: now,
            is_open: true,
            wire_bytes: 0,
        };
        let _is_new = self.begin_push(row.clone()).await?;
        let work = Work::Rollback { of, is_forced };
        self.send_push(StoredPush { row, events: Vec::new() }, work);
        Ok(push_id)
    }

    /// Goes on with a push of this node after a start.
    pub(crate) fn resume_sending(self: &Arc<Self>, stored: StoredPush) {
        match Work::of(&stored.row, &self.pushes.roots) {
            Ok(work) => self.send_push(stored, work),
            Err(error) => {
                tracing::error!(push = %stored.row.push_id, %error, "a push of this node cannot be read");
            }
        }
    }

    fn send_push(self: &Arc<Self>, stored: StoredPush, work: Work) {
        let push_id = stored.row.push_id;
        let (control, controls) = mpsc::unbounded_channel();
        let watch = Arc::new(PrepareWatch::default());
        let handle = Handle { control, watch: Arc::clone(&watch) };
        let before = lock(&self.pushes.senders.0).insert(push_id, handle);
        if before.is_some() {
            tracing::error!(push = %push_id, "a push was begun twice");
        }
        let task = SendingTask::new(Arc::clone(self), stored, work, controls, watch);
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            task.run().await;
            let ended = lock(&shared.pushes.senders.0).remove(&push_id);
            drop(ended);
        });
    }

    /// Gives a push of this node up, wherever it has not been put in place. Says whether it is under way.
    pub(crate) fn cancel_push(self: &Arc<Self>, push_id: PushId) -> bool {
        if let Some(handle) = lock(&self.pushes.senders.0).get(&push_id) {
            handle.watch.is_cancelled.store(true, Ordering::Relaxed);
        }
        self.pushes.senders.tell(push_id, Control::Cancel)
    }
}

impl Shared {
    /// Hands what a target says in a message to the push's task. Says whether it is recorded, or of no use.
    pub(crate) async fn push_replied(
        &self,
        push_id: PushId,
        from: PeerId,
        replies: Vec<PushMessage>,
    ) -> bool {
        let (done, taken) = oneshot::channel();
        let replied = Control::Replied { from, replies, done };
        // Without a task the push is over, or none of this node.
        if !self.pushes.senders.tell(push_id, replied) {
            return true;
        }
        // A task that ends without a word has recorded everything, or is stopped with the node.
        taken.await.is_ok() || !self.tasks.shutdown().is_cancelled()
    }
}

/// The members that a push is for.
fn targets_of(offer: &PushOffer) -> BTreeSet<PeerId> {
    offer.targets.iter().copied().collect()
}

/// Why a push ends everywhere when its sender says so.
fn cancelled(step: mesh_protocol::PushStep) -> PushProblem {
    PushProblem {
        step,
        reason: mesh_protocol::PushReason::Cancelled,
        detail: "the sender gave it up".to_owned(),
        test: None,
    }
}

#[cfg(test)]
mod tests;
