//! An offer: whether it is one for this node, whether it is known, and what the root's rules say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh_files::{Judgement, ReceiverInput, ReceiverOutput, ReceiverPush};
use mesh_protocol::{
    MESSAGE_TTL_MILLIS_MAX, PeerId, PushAnswer, PushId, PushMessage, PushMethod, PushOffer,
    PushProblem, PushReason, PushTotals, RollbackOffer,
};
use mesh_store::{PushRow, StoredPush};
use serde_json::json;

use super::line::Line;
use super::push::Command;
use super::work::Rollback;
use super::{FORCED, lock};
use crate::clock;
use crate::error::{NodeError, chain};
use crate::pushes::channel::{PushReader, PushWriter};
use crate::pushes::ledger::Side;
use crate::pushes::pulls::PULLED;
use crate::pushes::roots::{RootError, judge, may_push, problem};
use crate::shared::Shared;

/// As long as a sender may wait for its targets, by a clock that is not quite this one.
const LIFETIME_MILLIS_MAX: u64 = MESSAGE_TTL_MILLIS_MAX + 5 * 60 * 1000;

/// Whether a refusal is not recorded: who may come again will be, and whoever has no right here at all must not push what
/// others did out of the history.
const fn leaves_nothing(reason: PushReason) -> bool {
    matches!(reason, PushReason::Busy | PushReason::RootUnknown | PushReason::SenderNotAllowed)
}

/// Says no, and ends the stream.
pub(super) async fn refuse(mut writer: PushWriter, problem: PushProblem) {
    let answer = PushMessage::Answer(PushAnswer::Refused(problem));
    // Whoever does not hear it asks again.
    let _unheard = writer.send(&answer).await;
    writer.finish();
}

impl Shared {
    /// Takes an offer that came on a stream.
    pub(super) async fn take_offer(
        self: &Arc<Self>,
        peer: PeerId,
        offer: PushOffer,
        rollback: Option<Rollback>,
        reader: PushReader,
        writer: PushWriter,
    ) {
        let is_for_us = offer.targets.contains(&self.me);
        let refusal = if offer.by != peer || !self.view().verdict.is_member(&peer) {
            Some(problem(PushReason::NotAMember, "who offers is not who pushes"))
        } else if !is_for_us {
            Some(problem(PushReason::ManifestInvalid, "the offer is not for this target"))
        } else if offer.expires_at.0.saturating_sub(clock::now().wall.0) > LIFETIME_MILLIS_MAX {
            Some(problem(PushReason::ManifestInvalid, "the push would live longer than 30 days"))
        } else {
            None
        };
        if let Some(problem) = refusal {
            return refuse(writer, problem).await;
        }
        let progress = self.push_progress(offer.push_id, self.me);
        let line = Line::over(&self.tasks, reader, writer, progress);
        self.begin_offered(offer, rollback, line).await;
    }

    /// Hands an offer to the push's task, which is started unless it is there.
    pub(super) async fn begin_offered(
        self: &Arc<Self>,
        offer: PushOffer,
        rollback: Option<Rollback>,
        line: Line,
    ) {
        let push_id = offer.push_id;
        let receivers = &self.pushes.receivers;
        let _alone = receivers.gate.lock().await;
        let mut judgement = self.judge_offer(&offer, rollback).await;
        let is_refused = matches!(judgement, Judgement::Refuse(_));
        if !is_refused && !receivers.has_room(&offer, self.config.pushes.incoming_max) {
            judgement =
                Judgement::Refuse(problem(PushReason::Busy, "too many pushes are under way"));
        }
        if let Err(problem) = self.find_or_start(&offer, rollback, &judgement).await {
            if receivers.offer(&push_id).is_none() {
                self.forget_progress(push_id);
            }
            return line.refuse(problem);
        }
        if !matches!(judgement, Judgement::Refuse(_))
            && let Some(live) = lock(&receivers.live).get(&push_id)
        {
            live.is_receiving.store(true, Ordering::Relaxed);
        }
        if let Err(Command::Offered { line, .. }) =
            receivers.post(push_id, Command::Offered { judgement, line: Box::new(line) })
        {
            line.refuse(problem(PushReason::Busy, "the push is busy with former streams"));
        }
    }

    /// Makes sure that the push has a task, and that it is the push that was offered before.
    async fn find_or_start(
        self: &Arc<Self>,
        offer: &PushOffer,
        rollback: Option<Rollback>,
        judgement: &Judgement,
    ) -> Result<(), PushProblem> {
        let other = || problem(PushReason::ManifestInvalid, "another push has this id");
        if let Some(known) = self.pushes.receivers.offer(&offer.push_id) {
            return if *known == *offer { Ok(()) } else { Err(other()) };
        }
        let mut sides = self.load_sides(offer.push_id).await?;
        // Ids are announced to everybody: one of this node's own would hide what comes, and share its list of pages.
        if offer.by != self.me && sides.iter().any(|stored| stored.row.is_sender) {
            return Err(other());
        }
        sides.retain(|stored| !stored.row.is_sender);
        if let Some(StoredPush { row, events }) = sides.pop() {
            if row.offer != *offer || row.rollback_of != rollback.map(|rollback| rollback.of) {
                return Err(other());
            }
            self.start_receiving(Arc::new(row.offer), rollback, &events);
            return Ok(());
        }
        if !self.pushes.receivers.may_begin(offer.by, clock::now().instant) {
            return Err(problem(PushReason::Busy, "one member begins too many pushes"));
        }
        if let Judgement::Refuse(refusal) = judgement
            && leaves_nothing(refusal.reason)
        {
            self.tell_refused(offer, refusal);
            return Err(refusal.clone());
        }
        let is_forced = rollback.is_some_and(|rollback| rollback.is_forced);
        let row = PushRow {
            push_id: offer.push_id,
            is_sender: false,
            by: offer.by,
            rollback_of: rollback.map(|rollback| rollback.of),
            offer: offer.clone(),
            request: if is_forced { FORCED.to_vec() } else { Vec::new() },
            made_at: clock::now().wall,
            is_open: true,
            wire_bytes: 0,
        };
        self.begin_push(row).await.map_err(|error| {
            problem(PushReason::Busy, format!("the push cannot be kept: {error}"))
        })?;
        self.start_receiving(Arc::new(offer.clone()), rollback, &[]);
        Ok(())
    }

    /// What is recorded of a push that came.
    pub(super) async fn load_received(
        &self,
        push_id: PushId,
    ) -> Result<Option<StoredPush>, PushProblem> {
        let sides = self.load_sides(push_id).await?;
        Ok(sides.into_iter().find(|stored| !stored.row.is_sender))
    }

    async fn load_sides(&self, push_id: PushId) -> Result<Vec<StoredPush>, PushProblem> {
        let stored = self.store.load_push(push_id).await;
        stored.map_err(|error| problem(PushReason::Busy, chain(&error)))
    }

    /// What leaves nothing else behind is told at least.
    fn tell_refused(&self, offer: &PushOffer, refusal: &PushProblem) {
        if refusal.reason == PushReason::Busy {
            return;
        }
        let detail = json!({
            "push_id": offer.push_id, "peer_id": offer.by, "hostname": self.view().label(&offer.by),
            "root": offer.root, "reason": refusal.reason, "detail": refusal.detail,
        });
        self.events.emit(clock::now().wall, "push_refused", detail);
    }

    async fn judge_offer(
        self: &Arc<Self>,
        offer: &PushOffer,
        rollback: Option<Rollback>,
    ) -> Judgement {
        let shared = Arc::clone(self);
        let name = offer.root.clone();
        let opening = tokio::task::spawn_blocking(move || shared.pushes.roots.open(&name));
        let open = match opening.await {
            Ok(Ok(open)) => open,
            Ok(Err(error @ RootError::Unknown(_))) => {
                return Judgement::Refuse(problem(PushReason::RootUnknown, chain(&error)));
            }
            Ok(Err(error @ RootError::Closed { .. })) => {
                return Judgement::Refuse(problem(PushReason::StorageError, chain(&error)));
            }
            Err(error) => {
                return Judgement::Refuse(problem(PushReason::Internal, error.to_string()));
            }
        };
        if offer.root.as_str() == PULLED
            && let Some(problem) = self.unasked(offer, rollback.is_some())
        {
            return Judgement::Refuse(problem);
        }
        let view = self.view();
        let hostname = view.verdict.member(&offer.by).map(|member| &member.hostname);
        if rollback.is_none() {
            return judge(&open.settings, offer, hostname);
        }
        // This node's own operator needs nobody's leave.
        if offer.by == self.me || may_push(&open.settings, &offer.by, hostname) {
            return Judgement::Accept;
        }
        let detail = format!("the root {} takes nothing from this member", offer.root);
        Judgement::Refuse(problem(PushReason::SenderNotAllowed, detail))
    }

    /// A rollback as an offer like others: of nothing, into the root of the push that it takes back.
    pub(super) async fn offer_of(
        &self,
        rollback: &RollbackOffer,
    ) -> Result<PushOffer, PushProblem> {
        let of = self.load_received(rollback.of).await?.ok_or_else(|| {
            let detail = "this target knows nothing of the push that is to be taken back";
            problem(PushReason::NothingKept, detail)
        })?;
        Ok(PushOffer {
            push_id: rollback.push_id,
            by: rollback.by,
            targets: rollback.targets.clone(),
            root: of.row.offer.root,
            destination: of.row.offer.destination,
            message: rollback.message.clone(),
            method: PushMethod::Stream,
            totals: PushTotals::default(),
            manifest: [0; 32],
            test: None,
            made_at: rollback.made_at,
            expires_at: rollback.expires_at,
        })
    }

    /// Writes into the history of a push that it was taken back.
    pub(super) async fn note_rollback(
        self: &Arc<Self>,
        of: PushId,
        (by, who): (PushId, PeerId),
    ) -> Result<(), NodeError> {
        let Ok(Some(stored)) = self.load_received(of).await else { return Ok(()) };
        let mut engine = ReceiverPush::new(self.me, stored.row.offer.expires_at, &stored.events);
        engine.handle_input(ReceiverInput::RolledBack { by }, clock::now().wall);
        while let Some(output) = engine.poll_output() {
            if let ReceiverOutput::Record(event) = output {
                self.record_push(of, Side::Target, &event).await?;
            }
        }
        // Whoever pushed knows by itself what it takes back.
        if stored.row.by != who
            && let Err(error) = self.tell_rolled_back(of, stored.row.by, by).await
        {
            tracing::warn!(push = %of, %error, "the one who pushed cannot be told that it was taken back");
        }
        Ok(())
    }
}
