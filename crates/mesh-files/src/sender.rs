use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mesh_protocol::{
    PeerId, PushAnswer, PushEvent, PushFact, PushId, PushProblem, PushReason, PushResult, PushStep,
    PushTotals, UnixMillis, WaitingFor,
};

use crate::history::History;
use crate::{Phase, TargetState};

/// How patient a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// Until a push is offered again to a target whose stream ended; doubled each time.
    pub retry_first: Duration,
    /// The longest of these.
    pub retry_max: Duration,
    /// How long after the push's lifetime it waits for the word of a target that has everything.
    pub result_wait: Duration,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_mins(1),
            result_wait: Duration::from_hours(24),
        }
    }
}

/// What happened at the sender.
#[derive(Clone, Debug)]
pub enum SenderInput {
    /// Everything is read, hashed and scanned.
    Prepared {
        /// How much it is.
        totals: PushTotals,
        /// The manifest's digest.
        manifest: [u8; 32],
    },
    /// It cannot be, or must not be pushed.
    PrepareFailed(PushProblem),
    /// The announcement is committed.
    Announced,
    /// There is a link with a target.
    Reached(PeerId),
    /// There is none any more.
    Lost(PeerId),
    /// A target answered the offer.
    Answered(PeerId, PushAnswer),
    /// A target has every chunk.
    Staged(PeerId),
    /// A target says what a step came to.
    Resulted(PeerId, PushResult),
    /// A target's stream ended.
    StreamEnded(PeerId),
    /// Somebody gave the push up.
    Cancelled(PushProblem),
    /// A target has put back what was there before.
    RolledBack {
        /// Who.
        target: PeerId,
        /// By which push.
        by: PushId,
    },
}

/// What a sender wishes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderOutput {
    /// Commit this before carrying out any later wish.
    Record(PushEvent),
    /// Read, hash and scan everything.
    Prepare,
    /// Tell every member.
    Announce,
    /// Open a stream to a target and offer the push.
    Offer(PeerId),
    /// Send a target pages and chunks as it asks.
    Serve(PeerId),
    /// Tell a target, if it is there, that it is over, and end its stream.
    Stop(PeerId, PushProblem),
    /// It is over everywhere.
    Finished,
}

#[derive(Debug, Default)]
struct Line {
    is_reached: bool,
    is_open: bool,
    failures: u32,
    retry_at: Option<UnixMillis>,
}

/// The steps of a push at its sender. Its events, recorded, are enough to go on after a restart.
#[derive(Debug)]
pub struct SenderPush {
    config: SenderConfig,
    expires_at: UnixMillis,
    /// The latest moment that was heard of.
    now: UnixMillis,
    history: History,
    lines: BTreeMap<PeerId, Line>,
    /// Wished for in this run.
    is_preparing: bool,
    is_announcing: bool,
    is_finished: bool,
    outputs: VecDeque<SenderOutput>,
}

impl SenderPush {
    /// Starts a push, or goes on with one: `events` are those that were recorded.
    #[must_use]
    pub fn new(
        targets: BTreeSet<PeerId>,
        expires_at: UnixMillis,
        config: SenderConfig,
        events: &[PushEvent],
    ) -> Self {
        let mut history = History::new(targets);
        for event in events {
            history.apply(event);
        }
        let lines = history.targets.keys().map(|peer| (*peer, Line::default())).collect();
        Self {
            config,
            expires_at,
            now: UnixMillis(0),
            history,
            lines,
            is_preparing: false,
            is_announcing: false,
            is_finished: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, input: SenderInput, now: UnixMillis) {
        self.look_at_clock(now);
        match input {
            SenderInput::Prepared { totals, manifest } => {
                self.record(PushFact::Prepared { totals, manifest }, now);
            }
            SenderInput::PrepareFailed(problem) | SenderInput::Cancelled(problem) => {
                self.end(problem, now);
            }
            SenderInput::Announced => self.record(PushFact::Announced, now),
            SenderInput::Reached(peer) => {
                if let Some(line) = self.lines.get_mut(&peer) {
                    *line = Line { is_reached: true, ..Line::default() };
                }
            }
            SenderInput::Lost(peer) => {
                if let Some(line) = self.lines.get_mut(&peer) {
                    *line = Line::default();
                }
            }
            SenderInput::Answered(peer, answer) => self.answered(peer, answer, now),
            SenderInput::Staged(target) => self.record(PushFact::Staged { target }, now),
            SenderInput::Resulted(peer, result) => self.resulted(peer, result, now),
            SenderInput::StreamEnded(peer) => self.close(peer, now),
            SenderInput::RolledBack { target, by } => {
                self.record(PushFact::RolledBack { target, by }, now);
            }
        }
        self.handle_timeout(now);
    }

    fn answered(&mut self, target: PeerId, answer: PushAnswer, now: UnixMillis) {
        if !self.lines.get(&target).is_some_and(|line| line.is_open) {
            return;
        }
        match answer {
            PushAnswer::Accepted => {
                self.record(PushFact::Accepted { target }, now);
                if !self.history.phase(&target).is_final() {
                    self.outputs.push_back(SenderOutput::Serve(target));
                }
            }
            PushAnswer::WaitingForApproval => {
                let waiting_for = WaitingFor::Approval;
                self.record(PushFact::Waiting { target, waiting_for }, now);
            }
            PushAnswer::Refused(problem) if problem.reason == PushReason::Busy => {
                self.close(target, now);
            }
            PushAnswer::Refused(problem) => self.record(PushFact::Failed { target, problem }, now),
        }
    }

    fn resulted(&mut self, target: PeerId, result: PushResult, now: UnixMillis) {
        match result {
            PushResult::Verified(verification) => {
                self.record(PushFact::Verified { target, verification }, now);
            }
            PushResult::Confirmed(confirmation) => {
                self.record(PushFact::Confirmed { target, confirmation }, now);
            }
            PushResult::Failed(problem) => self.record(PushFact::Failed { target, problem }, now),
        }
    }

    /// Ends it wherever it is not over. A target that is not told hears it when it asks, or by its lifetime.
    fn end(&mut self, problem: PushProblem, now: UnixMillis) {
        let open: Vec<PeerId> = self
            .lines
            .iter()
            .filter(|(peer, line)| line.is_reached && !self.history.phase(peer).is_final())
            .map(|(peer, _)| *peer)
            .collect();
        self.record(PushFact::Ended(problem.clone()), now);
        for peer in open {
            self.outputs.push_back(SenderOutput::Stop(peer, problem.clone()));
        }
    }

    fn close(&mut self, peer: PeerId, now: UnixMillis) {
        let Some(line) = self.lines.get_mut(&peer) else { return };
        line.is_open = false;
        let doubled = self.config.retry_first.saturating_mul(1 << line.failures.min(16));
        line.failures = line.failures.saturating_add(1);
        line.retry_at = Some(now.plus(doubled.min(self.config.retry_max)));
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: UnixMillis) {
        self.look_at_clock(now);
        if !self.history.is_ended {
            self.expire(now);
            self.go_on(now);
        }
        let is_over = self.history.is_ended || self.history.targets.values().all(is_final);
        if is_over && !std::mem::replace(&mut self.is_finished, true) {
            self.outputs.push_back(SenderOutput::Finished);
        }
    }

    /// The wall clock may be put back by any time: pauses begin again then, and do not grow by that.
    fn look_at_clock(&mut self, now: UnixMillis) {
        let back = self.now.0.saturating_sub(now.0);
        for due in self.lines.values_mut().filter_map(|line| line.retry_at.as_mut()) {
            due.0 = due.0.saturating_sub(back);
        }
        self.now = now;
    }

    fn go_on(&mut self, now: UnixMillis) {
        if self.history.prepared.is_none() {
            if !std::mem::replace(&mut self.is_preparing, true) {
                self.outputs.push_back(SenderOutput::Prepare);
            }
            return;
        }
        if !self.history.is_announced {
            if !std::mem::replace(&mut self.is_announcing, true) {
                self.outputs.push_back(SenderOutput::Announce);
            }
            return;
        }
        let mut waiting = Vec::new();
        for (peer, line) in &mut self.lines {
            let phase = self.history.phase(peer);
            if phase == Phase::Pending && !line.is_reached {
                waiting.push(*peer);
            }
            let is_due = line.retry_at.is_none_or(|due| due <= now);
            if line.is_reached && !line.is_open && is_due && !phase.is_final() {
                line.is_open = true;
                self.outputs.push_back(SenderOutput::Offer(*peer));
            }
        }
        for target in waiting {
            self.record(PushFact::Waiting { target, waiting_for: WaitingFor::Link }, now);
        }
    }

    /// Ends what has not begun to be put in place within the lifetime; what has is only waited for.
    fn expire(&mut self, now: UnixMillis) {
        let last = self.expires_at.plus(self.config.result_wait);
        if now < self.expires_at {
            return;
        }
        let late: Vec<(PeerId, Phase)> = self
            .history
            .targets
            .iter()
            .filter(|(_, state)| !state.phase.is_final())
            .filter(|(_, state)| state.phase < Phase::Staged || now >= last)
            .map(|(peer, state)| (*peer, state.phase))
            .collect();
        for (target, phase) in late {
            let (step, detail) = if phase < Phase::Staged {
                (PushStep::Push, "its lifetime ended")
            } else {
                (PushStep::Confirm, "it has everything, and has not said what became of it")
            };
            let detail = detail.to_owned();
            let problem = PushProblem { step, reason: PushReason::Expired, detail, test: None };
            self.record(PushFact::Failed { target, problem: problem.clone() }, now);
            self.outputs.push_back(SenderOutput::Stop(target, problem));
        }
    }

    fn record(&mut self, fact: PushFact, now: UnixMillis) {
        let event = PushEvent { at: now, fact };
        if self.history.apply(&event) {
            self.outputs.push_back(SenderOutput::Record(event));
        }
    }

    /// When [`SenderPush::handle_timeout`] wants to be called; none while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        if self.is_finished {
            return None;
        }
        let last = self.expires_at.plus(self.config.result_wait);
        let open = || self.history.targets.values().filter(|state| !is_final(state));
        let is_early = open().any(|state| state.phase < Phase::Staged);
        let is_late = open().any(|state| state.phase >= Phase::Staged);
        let is_ready = self.history.prepared.is_some() && self.history.is_announced;
        let retries = self.lines.iter().filter(|(peer, line)| {
            let is_over = self.history.phase(peer).is_final();
            is_ready && line.is_reached && !line.is_open && !is_over
        });
        let retries = retries.filter_map(|(_, line)| line.retry_at);
        let ends = [is_early.then_some(self.expires_at), is_late.then_some(last)];
        retries.chain(ends.into_iter().flatten()).min()
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<SenderOutput> {
        self.outputs.pop_front()
    }

    /// What is known of each target.
    #[must_use]
    pub const fn targets(&self) -> &BTreeMap<PeerId, TargetState> {
        &self.history.targets
    }

    /// What was prepared, once it is.
    #[must_use]
    pub const fn prepared(&self) -> Option<(PushTotals, [u8; 32])> {
        self.history.prepared
    }
}

const fn is_final(state: &TargetState) -> bool {
    state.phase.is_final()
}

#[cfg(test)]
mod tests;
