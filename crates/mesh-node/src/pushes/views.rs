//! Pushes as people see them: what their records come to.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use mesh_control::{
    PushDetail, PushErrorView, PushEventView, PushState, PushTargetState, PushTargetView,
    PushTestView, PushView,
};
use mesh_protocol::{
    PeerId, PushEvent, PushFact, PushProblem, PushStep, TestEnd, TestOutcome, WaitingFor,
};
use mesh_store::StoredPush;

use crate::shared::Shared;
use crate::view::View;

fn test_view(test: &TestOutcome) -> PushTestView {
    let (mut exit_code, mut signal) = (None, None);
    match test.end {
        TestEnd::Exit(code) => exit_code = Some(code),
        TestEnd::Signal(number) => signal = Some(number),
        TestEnd::TimedOut | TestEnd::NotStarted => {}
    }
    PushTestView {
        command: test.command.clone(),
        exit_code,
        signal,
        is_timed_out: test.end == TestEnd::TimedOut,
        ms: test.millis,
        output: String::from_utf8_lossy(&test.output).into_owned(),
        is_cut: test.is_cut,
    }
}

fn error_view(problem: &PushProblem) -> PushErrorView {
    PushErrorView {
        step: problem.step,
        reason: problem.reason,
        detail: problem.detail.clone(),
        test: problem.test.as_ref().map(test_view),
    }
}

/// A path of another machine, as far as it is text.
fn shown(path: &[u8]) -> String {
    std::str::from_utf8(path).map_or_else(|_| path.escape_ascii().to_string(), ToOwned::to_owned)
}

/// What the events of a push come to.
struct Story {
    is_prepared: bool,
    error: Option<PushErrorView>,
    targets: BTreeMap<PeerId, PushTargetView>,
}

impl Story {
    fn new(stored: &StoredPush, targets: impl Iterator<Item = PeerId>, view: &View) -> Self {
        let target = |peer_id: PeerId| PushTargetView {
            hostname: view.label(&peer_id),
            peer_id,
            state: PushTargetState::Pending,
            since: stored.row.made_at,
            error: None,
            location: None,
            replaced: None,
            test: None,
            bytes_done: 0,
        };
        let targets = targets.map(|peer_id| (peer_id, target(peer_id))).collect();
        let mut story = Self { is_prepared: false, error: None, targets };
        stored.events.iter().for_each(|event| story.take(event));
        story
    }

    fn take(&mut self, event: &PushEvent) {
        match &event.fact {
            PushFact::Prepared { .. } => self.is_prepared = true,
            PushFact::Announced => {}
            PushFact::Ended(problem) => {
                let error = error_view(problem);
                for target in self.targets.values_mut().filter(|one| !one.state.is_final()) {
                    target.state = PushTargetState::Failed;
                    target.since = event.at;
                    target.error = Some(error.clone());
                }
                self.error = Some(error);
            }
            PushFact::Waiting { target, waiting_for: WaitingFor::Link } => {
                self.goes(target, event, PushTargetState::Waiting);
            }
            PushFact::Waiting { target, waiting_for: WaitingFor::Approval } => {
                self.goes(target, event, PushTargetState::WaitingForApproval);
            }
            PushFact::Accepted { target } => self.goes(target, event, PushTargetState::Receiving),
            PushFact::Staged { target } => self.goes(target, event, PushTargetState::Verifying),
            PushFact::Verified { target, verification } => {
                self.goes(target, event, PushTargetState::Placing);
                if let Some(target) = self.targets.get_mut(target) {
                    target.test = verification.test.as_ref().map(test_view);
                }
            }
            PushFact::Confirmed { target, confirmation } => {
                self.goes(target, event, PushTargetState::Confirmed);
                if let Some(target) = self.targets.get_mut(target) {
                    target.location = Some(shown(&confirmation.location));
                    target.replaced = Some(confirmation.replaced);
                }
            }
            PushFact::Failed { target, problem } => {
                self.goes(target, event, PushTargetState::Failed);
                if let Some(target) = self.targets.get_mut(target) {
                    target.error = Some(error_view(problem));
                }
            }
            PushFact::RolledBack { target, by: _ } => {
                self.goes(target, event, PushTargetState::RolledBack);
            }
        }
    }

    fn goes(&mut self, target: &PeerId, event: &PushEvent, state: PushTargetState) {
        if let Some(target) = self.targets.get_mut(target) {
            (target.state, target.since) = (state, event.at);
        }
    }
}

impl Shared {
    /// One side's records of a push.
    pub(super) fn push_view(&self, stored: &StoredPush) -> PushView {
        let (row, offer) = (&stored.row, &stored.row.offer);
        let view = self.view();
        let is_own = row.is_sender;
        let targets = offer.targets.iter().copied().filter(|peer| is_own || *peer == self.me);
        let mut story = Story::new(stored, targets, &view);
        // What is counted here goes when the row has it.
        let mut wire = row.wire_bytes;
        let under_way = row.is_open.then(|| self.pushes.ledger.progress_of(row.push_id));
        for (peer, progress) in under_way.into_iter().flatten() {
            wire += progress.wire.load(Ordering::Relaxed);
            if let Some(target) = story.targets.get_mut(&peer) {
                target.bytes_done = progress.done.load(Ordering::Relaxed);
            }
        }
        for target in story.targets.values_mut() {
            if matches!(
                target.state,
                PushTargetState::Verifying
                    | PushTargetState::Placing
                    | PushTargetState::Confirmed
                    | PushTargetState::RolledBack
            ) {
                target.bytes_done = offer.totals.bytes;
            }
        }
        let is_ready = story.is_prepared || !is_own || row.rollback_of.is_some();
        let state = match (row.is_open, is_ready) {
            (false, _) => PushState::Ended,
            (true, true) => PushState::Running,
            (true, false) => PushState::Preparing,
        };
        PushView {
            push_id: row.push_id,
            by: view.label(&row.by),
            by_peer_id: row.by,
            is_own,
            at: row.made_at,
            expires_at: offer.expires_at,
            root: offer.root.to_string(),
            dest: shown(offer.destination.as_bytes()),
            message: offer.message.clone(),
            method: offer.method.into(),
            test: offer.test.clone(),
            rollback_of: row.rollback_of,
            state,
            files: offer.totals.files,
            bytes_total: offer.totals.bytes,
            bytes_sent: wire,
            error: story.error,
            targets: story.targets.into_values().collect(),
        }
    }

    /// A push with its history: the sender's, where this node is both.
    pub(super) fn push_detail(&self, stored: &StoredPush) -> PushDetail {
        let view = self.view();
        let events = stored.events.iter().map(|event| event_view(event, &view)).collect();
        PushDetail { push: self.push_view(stored), events }
    }
}

fn event_view(event: &PushEvent, view: &View) -> PushEventView {
    let (step, what, target, detail) = line_of(&event.fact);
    PushEventView {
        at: event.at,
        step,
        what: what.to_owned(),
        hostname: target.map(|target| view.label(&target)),
        detail,
    }
}

fn line_of(fact: &PushFact) -> (PushStep, &'static str, Option<PeerId>, String) {
    let no_words = String::new;
    match fact {
        PushFact::Prepared { totals, manifest } => {
            let digest = FirstDigits(manifest);
            let detail = format!(
                "{} files, {} bytes, {} chunks; manifest {digest}",
                totals.files, totals.bytes, totals.chunks
            );
            (PushStep::Prepare, "prepared", None, detail)
        }
        PushFact::Announced => (PushStep::Announce, "announced", None, no_words()),
        PushFact::Ended(problem) => (problem.step, "ended", None, reason_of(problem)),
        PushFact::Waiting { target, waiting_for } => {
            let detail = match waiting_for {
                WaitingFor::Link => "it is not reached",
                WaitingFor::Approval => "somebody has to approve it",
            };
            (PushStep::Push, "waiting", Some(*target), detail.to_owned())
        }
        PushFact::Accepted { target } => (PushStep::Push, "accepted", Some(*target), no_words()),
        PushFact::Staged { target } => (PushStep::Push, "staged", Some(*target), no_words()),
        PushFact::Verified { target, verification } => {
            let mut detail = format!("{} files, {} bytes", verification.files, verification.bytes);
            if let Some(test) = &verification.test {
                detail.push_str(&format!("; test passed in {} ms: {}", test.millis, test.command));
            }
            (PushStep::Verify, "verified", Some(*target), detail)
        }
        PushFact::Confirmed { target, confirmation } => {
            let location = shown(&confirmation.location);
            let detail = format!("in {location}; {} replaced", confirmation.replaced);
            (PushStep::Confirm, "confirmed", Some(*target), detail)
        }
        PushFact::Failed { target, problem } => {
            (problem.step, "failed", Some(*target), reason_of(problem))
        }
        PushFact::RolledBack { target, by } => {
            (PushStep::Confirm, "rolled_back", Some(*target), format!("by push {by}"))
        }
    }
}

fn reason_of(problem: &PushProblem) -> String {
    format!("{}: {}", problem.reason, problem.detail)
}

/// The first digits of a digest, enough to compare by eye.
struct FirstDigits<'d>(&'d [u8; 32]);

impl std::fmt::Display for FirstDigits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
