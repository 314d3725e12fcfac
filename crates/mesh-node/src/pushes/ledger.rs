//! What is recorded of pushes, and who waits for news of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_protocol::{PeerId, PushEvent, PushFact, PushId, PushOffer, WaitingFor};
use mesh_store::{PushRow, StoreError};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::error::{NodeError, chain};
use crate::shared::{Shared, lock};

/// How long to wait before the database is asked again to take an event.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// On which side of a push this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// It pushes.
    Sender,
    /// It is one of those who are pushed to.
    Target,
}

impl Side {
    pub(crate) fn is_sender(self) -> bool {
        self == Self::Sender
    }
}

/// How far a push has come at one target, in bytes. Not recorded: it begins anew with every stream.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of files that are verified there.
    pub(crate) done: AtomicU64,
    /// Bytes that went over the stream to bring them there.
    pub(crate) wire: AtomicU64,
}

/// What is known of pushes beyond what is recorded.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Counts what was recorded, for whoever follows.
    recorded: watch::Sender<u64>,
    /// Of the pushes that are under way.
    progress: Mutex<BTreeMap<(PushId, PeerId), Arc<Progress>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { recorded: watch::channel(0).0, progress: Mutex::default() }
    }
}

impl Ledger {
    /// Fires whenever something was recorded.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }

    /// The progress at every target of a push that is under way.
    pub(super) fn progress_of(&self, push_id: PushId) -> BTreeMap<PeerId, Arc<Progress>> {
        let progress = lock(&self.progress);
        let least = PeerId::from_bytes([0; 32]);
        let of_push = progress.range((push_id, least)..).take_while(|((id, _), _)| *id == push_id);
        of_push.map(|((_, peer), progress)| (*peer, Arc::clone(progress))).collect()
    }

    fn note(&self) {
        self.recorded.send_modify(|count| *count += 1);
    }
}

impl Shared {
    /// Stores a push before anything is done about it. Says whether it is new: a repeated offer is not.
    pub(crate) async fn begin_push(&self, row: PushRow) -> Result<bool, NodeError> {
        let is_new = self.store.insert_push(row).await.map_err(NodeError::storage)?;
        self.pushes.ledger.note();
        Ok(is_new)
    }

    /// Stores what PREPARE found.
    pub(crate) async fn set_push_offer(
        &self,
        push_id: PushId,
        side: Side,
        offer: PushOffer,
    ) -> Result<(), NodeError> {
        let is_sender = side.is_sender();
        self.recorded(|| self.store.update_push_offer(push_id, is_sender, offer.clone())).await
    }

    /// Commits an event, then tells of it. As long as the database cannot take it this waits, and the push with it:
    /// nothing happens that is not recorded.
    pub(crate) async fn record_push(
        &self,
        push_id: PushId,
        side: Side,
        event: &PushEvent,
    ) -> Result<(), NodeError> {
        let is_sender = side.is_sender();
        self.recorded(|| self.store.record_push_event(push_id, is_sender, event.clone())).await?;
        self.tell_of(push_id, side, event);
        Ok(())
    }

    /// It is over on this side.
    pub(crate) async fn close_push(&self, push_id: PushId, side: Side) -> Result<(), NodeError> {
        let of_push = self.pushes.ledger.progress_of(push_id);
        let wire = of_push.values().map(|one| one.wire.load(Ordering::Relaxed)).sum();
        let is_sender = side.is_sender();
        self.recorded(|| self.store.close_push(push_id, is_sender, wire)).await?;
        lock(&self.pushes.ledger.progress).retain(|(id, _), _| *id != push_id);
        Ok(())
    }

    /// The progress of a push at a target, for whoever brings it on and whoever watches.
    pub(crate) fn push_progress(&self, push_id: PushId, target: PeerId) -> Arc<Progress> {
        Arc::clone(lock(&self.pushes.ledger.progress).entry((push_id, target)).or_default())
    }

    /// Nobody brings the push on here, whatever was offered.
    pub(super) fn forget_progress(&self, push_id: PushId) {
        lock(&self.pushes.ledger.progress).remove(&(push_id, self.me));
    }

    /// Commits, however long it takes. A push that the store does not know was pruned meanwhile: nobody asks for it.
    async fn recorded<F>(&self, commit: impl Fn() -> F) -> Result<(), NodeError>
    where
        F: Future<Output = Result<bool, StoreError>>,
    {
        let mut is_told = false;
        loop {
            match commit().await {
                Ok(_is_known) => break,
                Err(StoreError::Closed) => return Err(NodeError::stopping()),
                Err(error) if !is_told => {
                    is_told = true;
                    tracing::error!(error = %chain(&error), "a push waits: the database does not take what happened to it");
                }
                Err(_) => {}
            }
            let again = tokio::time::sleep(RECORD_AGAIN_AFTER);
            if self.tasks.shutdown().run_until_cancelled(again).await.is_none() {
                return Err(NodeError::stopping());
            }
        }
        self.pushes.ledger.note();
        Ok(())
    }

    fn tell_of(&self, push_id: PushId, side: Side, event: &PushEvent) {
        let (kind, target, more) = told(&event.fact);
        let mut fields = Map::new();
        fields.insert("push_id".to_owned(), json!(push_id));
        fields.insert("is_own".to_owned(), json!(side.is_sender()));
        if let Some(target) = target {
            fields.insert("peer_id".to_owned(), json!(target));
            fields.insert("hostname".to_owned(), json!(self.view().label(&target)));
        }
        if let Value::Object(more) = more {
            fields.extend(more);
        }
        self.events.emit(event.at, kind, Value::Object(fields));
    }
}

/// What an event is called, whom it is about, and what more there is to say.
fn told(fact: &PushFact) -> (&'static str, Option<PeerId>, Value) {
    match fact {
        PushFact::Prepared { totals, manifest: _ } => {
            ("push_prepared", None, json!({ "files": totals.files, "bytes": totals.bytes }))
        }
        PushFact::Announced => ("push_announced", None, Value::Null),
        PushFact::Ended(problem) => (
            "push_ended",
            None,
            json!({ "step": problem.step, "reason": problem.reason, "detail": problem.detail }),
        ),
        PushFact::Waiting { target, waiting_for } => {
            let waiting_for = match waiting_for {
                WaitingFor::Link => "link",
                WaitingFor::Approval => "approval",
            };
            ("push_waiting", Some(*target), json!({ "waiting_for": waiting_for }))
        }
        PushFact::Accepted { target } => ("push_accepted", Some(*target), Value::Null),
        PushFact::Staged { target } => ("push_staged", Some(*target), Value::Null),
        PushFact::Verified { target, verification } => {
            ("push_verified", Some(*target), json!({ "files": verification.files }))
        }
        PushFact::Confirmed { target, confirmation } => (
            "push_confirmed",
            Some(*target),
            json!({
                "location": String::from_utf8_lossy(&confirmation.location),
                "replaced": confirmation.replaced,
            }),
        ),
        PushFact::Failed { target, problem } => (
            "push_failed",
            Some(*target),
            json!({ "step": problem.step, "reason": problem.reason, "detail": problem.detail }),
        ),
        PushFact::RolledBack { target, by } => {
            ("push_rolled_back", Some(*target), json!({ "by_push": by }))
        }
    }
}
