use std::collections::{BTreeSet, VecDeque};

use mesh_protocol::{
    Confirmation, PeerId, PushAnswer, PushEvent, PushFact, PushId, PushProblem, PushReason,
    PushResult, PushStep, UnixMillis, Verification, WaitingFor,
};

use crate::history::History;
use crate::{Phase, TargetState};

/// What the root's rules say to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may come.
    Accept,
    /// It may, once somebody has approved.
    NeedsApproval,
    /// It may not.
    Refuse(PushProblem),
}

/// What happened at a receiver.
#[derive(Clone, Debug)]
pub enum ReceiverInput {
    /// The sender offers the push, on a stream that is open; the rules are asked each time.
    Offered(Judgement),
    /// Somebody approved.
    Approved,
    /// Somebody said no.
    Denied(PushProblem),
    /// Every chunk is verified in staging.
    Staged,
    /// Everything in staging is right, and so says the test.
    Verified(Verification),
    /// It is in place.
    Placed(Confirmation),
    /// It goes no further: a rule was broken, bytes are wrong, the test said no, the disk is full.
    Failed(PushProblem),
    /// The sender has given it up.
    Stopped(PushProblem),
    /// The stream ended.
    StreamEnded,
    /// What was there before is back.
    RolledBack {
        /// By which push.
        by: PushId,
    },
}

/// What a receiver wishes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverOutput {
    /// Commit this before carrying out any later wish.
    Record(PushEvent),
    /// Answer the offer.
    Answer(PushAnswer),
    /// Say what a step came to.
    Result(PushResult),
    /// Ask people whether it may come.
    AskApproval,
    /// Take pages and chunks.
    Receive,
    /// Check what is staged, and run the test.
    Verify,
    /// Put it in place. A crash in between is settled by the journal, and this is wished for again.
    Place,
    /// Remove what is staged.
    Discard,
    /// It is over.
    Finished,
}

/// The steps of a push at one receiver. Its events, recorded, are enough to go on after a restart.
#[derive(Debug)]
pub struct ReceiverPush {
    me: PeerId,
    expires_at: UnixMillis,
    history: History,
    is_open: bool,
    /// What the sender has to hear again when it offers again.
    verification: Option<Verification>,
    confirmation: Option<Confirmation>,
    problem: Option<PushProblem>,
    outputs: VecDeque<ReceiverOutput>,
}

impl ReceiverPush {
    /// Starts with an offer, or goes on after a restart: `events` are those that were recorded.
    #[must_use]
    pub fn new(me: PeerId, expires_at: UnixMillis, events: &[PushEvent]) -> Self {
        let mut push = Self {
            me,
            expires_at,
            history: History::new(BTreeSet::from([me])),
            is_open: false,
            verification: None,
            confirmation: None,
            problem: None,
            outputs: VecDeque::new(),
        };
        for event in events {
            push.apply(event);
        }
        match push.phase() {
            Phase::Staged => push.outputs.push_back(ReceiverOutput::Verify),
            Phase::Verified => push.outputs.push_back(ReceiverOutput::Place),
            Phase::Failed => push.outputs.push_back(ReceiverOutput::Discard),
            Phase::Pending
            | Phase::WaitingForLink
            | Phase::WaitingForApproval
            | Phase::Accepted
            | Phase::Confirmed
            | Phase::RolledBack => {}
        }
        push
    }

    fn apply(&mut self, event: &PushEvent) -> bool {
        if !self.history.apply(event) {
            return false;
        }
        match &event.fact {
            PushFact::Verified { verification, .. } => {
                self.verification = Some(verification.clone());
            }
            PushFact::Confirmed { confirmation, .. } => {
                self.confirmation = Some(confirmation.clone());
            }
            PushFact::Failed { problem, .. } | PushFact::Ended(problem) => {
                self.problem = Some(problem.clone());
            }
            PushFact::Prepared { .. }
            | PushFact::Announced
            | PushFact::Waiting { .. }
            | PushFact::Accepted { .. }
            | PushFact::Staged { .. }
            | PushFact::RolledBack { .. } => {}
        }
        true
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, input: ReceiverInput, now: UnixMillis) {
        self.handle_timeout(now);
        let target = self.me;
        match input {
            ReceiverInput::Offered(judgement) => {
                self.is_open = true;
                self.offered(judgement, now);
            }
            ReceiverInput::Approved => {
                if self.record(PushFact::Accepted { target }, now) && self.is_open {
                    self.receive();
                }
            }
            ReceiverInput::Staged => {
                if self.phase() == Phase::Accepted && self.record(PushFact::Staged { target }, now)
                {
                    self.wish(ReceiverOutput::Verify);
                }
            }
            ReceiverInput::Verified(verification) => {
                let fact = PushFact::Verified { target, verification: verification.clone() };
                if self.phase() == Phase::Staged && self.record(fact, now) {
                    self.say(PushResult::Verified(verification));
                    self.wish(ReceiverOutput::Place);
                }
            }
            ReceiverInput::Placed(confirmation) => {
                let fact = PushFact::Confirmed { target, confirmation: confirmation.clone() };
                if self.phase() == Phase::Verified && self.record(fact, now) {
                    self.say(PushResult::Confirmed(confirmation));
                    self.wish(ReceiverOutput::Finished);
                }
            }
            ReceiverInput::Failed(problem) => self.fail(problem, now),
            // Once somebody has said no, or everything is there, it is not for the sender to end it.
            ReceiverInput::Denied(problem) if self.phase() < Phase::Accepted => {
                self.fail(problem, now);
            }
            ReceiverInput::Stopped(problem) if self.phase() < Phase::Staged => {
                self.fail(problem, now);
            }
            ReceiverInput::Denied(_) | ReceiverInput::Stopped(_) => {}
            ReceiverInput::StreamEnded => self.is_open = false,
            ReceiverInput::RolledBack { by } => {
                self.record(PushFact::RolledBack { target, by }, now);
            }
        }
    }

    fn offered(&mut self, judgement: Judgement, now: UnixMillis) {
        let target = self.me;
        match (self.phase(), judgement) {
            (Phase::Pending | Phase::WaitingForLink, Judgement::Accept)
            | (Phase::WaitingForApproval, Judgement::Accept) => {
                self.record(PushFact::Accepted { target }, now);
                self.receive();
            }
            (Phase::Accepted, Judgement::Accept | Judgement::NeedsApproval) => self.receive(),
            (Phase::Pending | Phase::WaitingForLink, Judgement::NeedsApproval) => {
                let waiting_for = WaitingFor::Approval;
                self.record(PushFact::Waiting { target, waiting_for }, now);
                self.wish(ReceiverOutput::AskApproval);
                self.wish(ReceiverOutput::Answer(PushAnswer::WaitingForApproval));
            }
            (Phase::WaitingForApproval, Judgement::NeedsApproval) => {
                self.wish(ReceiverOutput::Answer(PushAnswer::WaitingForApproval));
            }
            (
                Phase::Pending
                | Phase::WaitingForLink
                | Phase::WaitingForApproval
                | Phase::Accepted,
                Judgement::Refuse(problem),
            ) if problem.reason == PushReason::Busy => {
                self.wish(ReceiverOutput::Answer(PushAnswer::Refused(problem)));
            }
            // The rules may have changed since it was accepted.
            (
                Phase::Pending
                | Phase::WaitingForLink
                | Phase::WaitingForApproval
                | Phase::Accepted,
                Judgement::Refuse(problem),
            ) => self.fail(problem, now),
            (
                Phase::Staged
                | Phase::Verified
                | Phase::Confirmed
                | Phase::RolledBack
                | Phase::Failed,
                _,
            ) => self.repeat(),
        }
    }

    /// Says again what the sender may have missed.
    fn repeat(&mut self) {
        if let Some(problem) = self.problem.clone() {
            self.wish(ReceiverOutput::Answer(PushAnswer::Refused(problem)));
            return;
        }
        self.wish(ReceiverOutput::Answer(PushAnswer::Accepted));
        if let Some(verification) = self.verification.clone() {
            self.say(PushResult::Verified(verification));
        }
        if let Some(confirmation) = self.confirmation.clone() {
            self.say(PushResult::Confirmed(confirmation));
        }
    }

    fn receive(&mut self) {
        self.wish(ReceiverOutput::Answer(PushAnswer::Accepted));
        self.wish(ReceiverOutput::Receive);
    }

    fn fail(&mut self, problem: PushProblem, now: UnixMillis) {
        let is_answer = self.phase() < Phase::Accepted;
        let fact = PushFact::Failed { target: self.me, problem: problem.clone() };
        if !self.record(fact, now) {
            return;
        }
        if self.is_open && is_answer {
            self.wish(ReceiverOutput::Answer(PushAnswer::Refused(problem)));
        } else {
            self.say(PushResult::Failed(problem));
        }
        self.wish(ReceiverOutput::Discard);
        self.wish(ReceiverOutput::Finished);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: UnixMillis) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            let (step, reason) = (PushStep::Push, PushReason::Expired);
            let detail = "its lifetime ended".to_owned();
            self.fail(PushProblem { step, reason, detail, test: None }, now);
        }
    }

    /// When [`ReceiverPush::handle_timeout`] wants to be called; none once everything is here.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        (self.phase() < Phase::Staged).then_some(self.expires_at)
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<ReceiverOutput> {
        self.outputs.pop_front()
    }

    /// What is known of the push here.
    #[must_use]
    pub fn state(&self) -> TargetState {
        self.history.targets.get(&self.me).copied().unwrap_or_default()
    }

    fn phase(&self) -> Phase {
        self.history.phase(&self.me)
    }

    fn record(&mut self, fact: PushFact, now: UnixMillis) -> bool {
        let event = PushEvent { at: now, fact };
        let is_news = self.apply(&event);
        if is_news {
            self.wish(ReceiverOutput::Record(event));
        }
        is_news
    }

    fn say(&mut self, result: PushResult) {
        if self.is_open {
            self.wish(ReceiverOutput::Result(result));
        }
    }

    fn wish(&mut self, output: ReceiverOutput) {
        self.outputs.push_back(output);
    }
}

#[cfg(test)]
mod tests;
