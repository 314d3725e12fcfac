//! The task of a push that travels in messages: nobody has to be linked, and nobody asks for anything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_files::{BundleKind, Phase, SenderInput, SenderPush, to_transfer};
use mesh_protocol::{
    Payload, PeerId, PushAnswer, PushMessage, PushMethod, PushProblem, PushReason, PushResult,
};

use super::SendingTask;
use crate::clock;
use crate::error::NodeError;
use crate::outgoing::{Outgoing, Target};
use crate::pushes::bundles::Kept;
use crate::pushes::prepare::problem;
use crate::pushes::sending::bundling::bundle;
use crate::shared::Shared;

/// The targets that have their message for sure: they have said so. Others get it again after a restart, which harms nobody.
pub(super) fn answered(engine: &SenderPush) -> impl Iterator<Item = PeerId> {
    let is_answered = |phase| !matches!(phase, Phase::Pending | Phase::WaitingForLink);
    let targets = engine.targets().iter();
    targets.filter(move |(_, state)| is_answered(state.phase)).map(|(peer, _)| *peer)
}

impl SendingTask {
    pub(super) fn is_by_message(&self) -> bool {
        self.offer.method == PushMethod::Message
    }

    /// Behind PREPARE: makes what every target gets.
    pub(super) async fn make_bundle(&self) -> Result<(), PushProblem> {
        let Some(sources) = self.work.sources() else { return Ok(()) };
        let sources = sources.map_err(|error| problem(PushReason::PathRefused, error.message))?;
        let (data_dir, offer) = (self.shared.data_dir.path().to_owned(), self.offer.clone());
        let making = tokio::task::spawn_blocking(move || bundle(&data_dir, &offer, sources));
        making.await.unwrap_or_else(|error| {
            Err(problem(PushReason::Internal, format!("preparing broke off: {error}")))
        })
    }

    /// Puts a target's message into the outbox, unless it is there. From then on the mesh sees to it.
    pub(super) async fn offer_by_message(&mut self, peer: PeerId) {
        if !self.sent.insert(peer) {
            return;
        }
        match self.send_bundle(peer).await {
            Ok(bytes) => {
                if let Some(line) = self.lines.get(&peer) {
                    line.progress.wire.fetch_add(bytes, Ordering::Relaxed);
                }
                // One that is away is waited for.
                self.look_at_links();
            }
            Err(error) => {
                tracing::warn!(push_id = %self.offer.push_id, peer = %peer.short(), %error, "a push cannot be sent yet");
                self.sent.remove(&peer);
                self.input(SenderInput::StreamEnded(peer));
            }
        }
    }

    async fn send_bundle(&self, peer: PeerId) -> Result<u64, NodeError> {
        let (data_dir, push_id) = (self.shared.data_dir.path().to_owned(), self.offer.push_id);
        let reading = tokio::task::spawn_blocking(move || Kept::Sent.load(&data_dir, push_id));
        let read = reading.await.map_err(|error| error.to_string());
        let bundle = read.and_then(|read| read.map_err(|error| error.to_string()));
        let bundle = bundle
            .map_err(|error| NodeError::new(mesh_protocol::ErrorCode::StorageError, error))?;
        let bytes = bundle.len() as u64;
        let payload = Payload::FileTransfer(to_transfer(push_id, BundleKind::Push, bundle));
        let left = self.offer.expires_at.0.saturating_sub(clock::now().wall.0);
        let ttl = Duration::from_millis(left.max(1));
        let outgoing = Outgoing { ttl, ..Outgoing::new(Target::Peer(peer), payload) };
        self.shared.send(outgoing).await.map(|_| bytes)
    }

    /// What a target says, in a message of its own.
    pub(super) fn replied(&mut self, peer: PeerId, replies: Vec<PushMessage>) {
        if !self.is_by_message() {
            return;
        }
        let Some(line) = self.lines.get_mut(&peer) else { return };
        // Its word is here, whatever way it came.
        if line.link.replace(0).is_none() {
            self.input(SenderInput::Reached(peer));
        }
        for reply in replies {
            match reply {
                PushMessage::Answer(answer) => {
                    if let PushAnswer::Refused(problem) = &answer
                        && problem.reason == PushReason::Busy
                    {
                        self.sent.remove(&peer);
                    }
                    self.input(SenderInput::Answered(peer, answer));
                }
                PushMessage::Result(result) => {
                    match &result {
                        PushResult::Verified(_) | PushResult::Confirmed(_) => {
                            self.input(SenderInput::Staged(peer));
                        }
                        PushResult::Failed(_) => {}
                    }
                    self.resulted(peer, result);
                }
                // Replies are nothing else.
                PushMessage::Offer(_)
                | PushMessage::PageIds(_)
                | PushMessage::PageNeed(_)
                | PushMessage::Page(_)
                | PushMessage::Need(_)
                | PushMessage::Have(_)
                | PushMessage::Source(_)
                | PushMessage::Fetch(_)
                | PushMessage::Chunk(_)
                | PushMessage::Stop(_)
                | PushMessage::Rollback(_) => {}
            }
        }
    }

    /// Nobody gets it any more.
    pub(super) async fn forget_bundle(&self) {
        if !self.is_by_message() {
            return;
        }
        let (data_dir, push_id) = (self.shared.data_dir.path().to_owned(), self.offer.push_id);
        let removing = tokio::task::spawn_blocking(move || Kept::Sent.remove(&data_dir, push_id));
        if let Ok(Err(error)) = removing.await {
            Shared::log_failure("the message of a push cannot be removed", &error);
        }
    }

    /// Those who may have something of it and are not done with it. What has every chunk goes on by itself.
    pub(super) fn under_way(&self) -> Vec<PeerId> {
        let targets = self.engine.targets().iter();
        let is_open = |peer: &PeerId, phase: Phase| {
            if self.is_by_message() {
                return self.sent.contains(peer) && !phase.is_final();
            }
            // A stream that is there, and stays, says so sooner; nobody knows whether it stays.
            *peer != self.shared.me && phase < Phase::Staged && self.engine.prepared().is_some()
        };
        targets.filter(|(peer, state)| is_open(peer, state.phase)).map(|(peer, _)| *peer).collect()
    }

    /// Tells them that it is to go no further.
    pub(super) fn call_back(&self, targets: Vec<PeerId>, why: &PushProblem) {
        let (shared, push_id, why) = (Arc::clone(&self.shared), self.offer.push_id, why.clone());
        self.shared.tasks.spawn(async move {
            for target in targets {
                if let Err(error) = shared.tell_cancelled(push_id, target, why.clone()).await {
                    tracing::warn!(%push_id, peer = %target.short(), %error, "a target cannot be told that a push was given up");
                }
            }
        });
    }
}
