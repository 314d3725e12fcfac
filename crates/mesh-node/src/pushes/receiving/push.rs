//! The task of one push that comes: it asks the engine what to do, and waits for whatever happens next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_files::{Judgement, Phase, ReceiverInput, ReceiverOutput, ReceiverPush};
use mesh_protocol::{PushAnswer, PushEvent, PushMessage, PushOffer, PushProblem};
use mesh_tree::Staging;
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use super::line::Line;
use super::work::{Input, Intake, Job, Outcome, Report, Rollback, Task, Work};
use crate::clock;
use crate::error::NodeError;
use crate::pushes::channel::{ChannelError, Received};
use crate::pushes::ledger::Side;
use crate::shared::Shared;

/// Messages that wait for room on the stream: while there are more, the work on the push waits too.
const BACKLOG_MAX: usize = 64;

/// What a push's task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// It is offered on a stream, which takes the place of the one before.
    Offered { judgement: Judgement, line: Box<Line> },
    /// Somebody decided. Answered with what the push was waiting in.
    Decide { denied: Option<PushProblem>, done: oneshot::Sender<Phase> },
    /// The sender has given it up, and there was no stream to say so on.
    Stop(PushProblem),
}

#[derive(Debug)]
enum Event {
    Command(Command),
    /// Nobody can reach it any more: another task has the push.
    Forgotten,
    Received(Result<Option<Received>, ChannelError>),
    /// The stream takes nothing any more.
    Gone,
    /// The work took what was waiting for it; or takes nothing any more.
    Given(bool),
    Report(Report),
    Said,
    Due,
}

/// A push that comes.
#[derive(Debug)]
pub(super) struct Push {
    shared: Arc<Shared>,
    offer: Arc<PushOffer>,
    rollback: Option<Rollback>,
    engine: ReceiverPush,
    inbox: mpsc::Receiver<Command>,
    line: Option<Line>,
    backlog: VecDeque<PushMessage>,
    /// Ends the stream once everything is said.
    hangs_up: bool,
    job: Option<Job>,
    work: Option<Work>,
    next: VecDeque<Job>,
    /// What came and waits for the work.
    waiting: Option<Intake>,
    is_receiving: Arc<AtomicBool>,
    staging: Arc<Mutex<Option<Staging>>>,
    is_over: bool,
}

/// What a push's task begins with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) offer: Arc<PushOffer>,
    pub(super) rollback: Option<Rollback>,
    pub(super) is_receiving: Arc<AtomicBool>,
    pub(super) staging: Arc<Mutex<Option<Staging>>>,
}

impl Push {
    pub(super) fn new(
        shared: Arc<Shared>,
        start: Start,
        events: &[PushEvent],
        inbox: mpsc::Receiver<Command>,
    ) -> Self {
        let Start { offer, rollback, is_receiving, staging } = start;
        let engine = ReceiverPush::new(shared.me, offer.expires_at, events);
        let is_over = engine.state().phase.is_final();
        Self {
            shared,
            offer,
            rollback,
            engine,
            inbox,
            line: None,
            backlog: VecDeque::new(),
            hangs_up: false,
            job: None,
            work: None,
            next: VecDeque::new(),
            waiting: None,
            is_receiving,
            staging,
            is_over,
        }
    }

    pub(super) async fn run(mut self) {
        // The only failure is that the node stops; it goes on after the next start.
        let _stopping = self.go_on().await;
    }

    async fn go_on(&mut self) -> Result<(), NodeError> {
        loop {
            self.carry_out().await?;
            if self.is_idle() && self.shared.pushes.receivers.leave(self.offer.push_id, &self.inbox)
            {
                self.shared.forget_progress(self.offer.push_id);
                return Ok(());
            }
            match self.event().await {
                Event::Command(command) => self.command(command),
                Event::Forgotten => return Ok(()),
                Event::Received(received) => self.received(received),
                Event::Gone => self.line_ended(),
                Event::Given(is_taken) => {
                    if !is_taken {
                        self.waiting = None;
                    }
                }
                Event::Report(report) => self.report(report).await?,
                Event::Said => {}
                Event::Due => self.engine.handle_timeout(clock::now().wall),
            }
        }
    }

    /// Whether there is nothing to do and nothing to wait for but somebody who asks for it again.
    fn is_idle(&self) -> bool {
        self.is_over && self.line.is_none() && self.work.is_none() && self.next.is_empty()
    }

    async fn event(&mut self) -> Event {
        let now = clock::now();
        let due = self.engine.poll_timeout();
        let due = due.and_then(|due| {
            let left = Duration::from_millis(due.0.saturating_sub(now.wall.0));
            now.instant.checked_add(left)
        });
        let Self { inbox, line, work, waiting, backlog, .. } = self;
        let can_read = waiting.is_none();
        let can_report = backlog.len() < BACKLOG_MAX;
        let can_say = !backlog.is_empty();
        let (reader, sender) = match line {
            Some(line) => (Some(&mut line.reader), Some(&line.sender)),
            None => (None, None),
        };
        let (input, reports) = match work {
            Some(work) => work.parts(),
            None => (None, None),
        };
        tokio::select! {
            command = inbox.recv() => command.map_or(Event::Forgotten, Event::Command),
            received = async { match reader {
                Some(reader) => reader.recv().await,
                None => std::future::pending().await,
            } }, if can_read => Event::Received(received),
            () = async { match sender {
                Some(sender) => sender.closed().await,
                None => std::future::pending().await,
            } } => Event::Gone,
            is_taken = give(input, waiting), if !can_read => Event::Given(is_taken),
            report = async { match reports {
                Some(reports) => reports.recv().await,
                None => std::future::pending().await,
            } }, if can_report => Event::Report(report.unwrap_or(Report::Done(Err(Failure::Paused)))),
            () = say_next(sender, backlog), if can_say => Event::Said,
            () = clock::sleep_until(due) => Event::Due,
        }
    }

    fn command(&mut self, command: Command) {
        let now = clock::now().wall;
        match command {
            Command::Offered { judgement, line } => {
                if self.line.is_some() {
                    self.line_ended();
                }
                self.line = Some(*line);
                self.hangs_up = false;
                self.engine.handle_input(ReceiverInput::Offered(judgement), now);
            }
            Command::Stop(problem) => self.stopped(problem),
            Command::Decide { denied, done } => {
                let phase = self.engine.state().phase;
                if phase == Phase::WaitingForApproval {
                    let input = denied.map_or(ReceiverInput::Approved, ReceiverInput::Denied);
                    self.engine.handle_input(input, now);
                }
                // Whoever asked may have gone.
                let _unheard = done.send(phase);
            }
        }
    }

    fn received(&mut self, received: Result<Option<Received>, ChannelError>) {
        let intake = match received {
            Ok(Some(Received::Chunk(head, bytes))) => Intake::Chunk(head, bytes),
            Ok(Some(Received::Message(PushMessage::PageIds(ids)))) => Intake::Ids(ids),
            Ok(Some(Received::Message(PushMessage::Page(page)))) => Intake::Page(page),
            Ok(Some(Received::Message(PushMessage::Source(source)))) => {
                Intake::Source(source.from, source.chunks)
            }
            Ok(Some(Received::Message(PushMessage::Stop(problem)))) => {
                self.stopped(problem);
                return;
            }
            // Nothing else is said to a target.
            Ok(Some(Received::Message(_)) | None) => return self.line_ended(),
            Err(error) => {
                tracing::debug!(%error, "the stream of a push ended");
                return self.line_ended();
            }
        };
        // What still comes after a failure is for nobody.
        if self.takes_in() {
            self.waiting = Some(intake);
        }
    }

    fn stopped(&mut self, problem: PushProblem) {
        self.engine.handle_input(ReceiverInput::Stopped(problem), clock::now().wall);
        self.hangs_up = true;
    }

    fn takes_in(&self) -> bool {
        self.job == Some(Job::Receive) || self.next.contains(&Job::Receive)
    }

    fn line_ended(&mut self) {
        self.line = None;
        self.waiting = None;
        self.backlog.clear();
        self.next.retain(|job| *job != Job::Receive);
        if self.job == Some(Job::Receive)
            && let Some(work) = &mut self.work
        {
            work.close();
        }
        self.engine.handle_input(ReceiverInput::StreamEnded, clock::now().wall);
    }

    /// Does what the engine wishes for, in its order.
    async fn carry_out(&mut self) -> Result<(), NodeError> {
        let push_id = self.offer.push_id;
        while let Some(output) = self.engine.poll_output() {
            match output {
                ReceiverOutput::Record(event) => {
                    self.shared.record_push(push_id, Side::Target, &event).await?;
                }
                ReceiverOutput::Answer(answer) => {
                    self.hangs_up |= matches!(answer, PushAnswer::Refused(_));
                    self.say(PushMessage::Answer(answer));
                }
                ReceiverOutput::Result(result) => self.say(PushMessage::Result(result)),
                ReceiverOutput::AskApproval => {
                    tracing::info!(%push_id, by = %self.offer.by.short(), "a push waits for approval");
                }
                ReceiverOutput::Receive => self.next.push_back(Job::Receive),
                ReceiverOutput::Verify => {
                    // A stream that was opened meanwhile has nothing to bring.
                    self.next.retain(|job| *job != Job::Receive);
                    self.next.push_back(Job::Verify);
                }
                ReceiverOutput::Place => self.next.push_back(Job::Place),
                ReceiverOutput::Discard => {
                    self.waiting = None;
                    self.next.clear();
                    self.next.push_back(Job::Discard);
                    if let Some(work) = &mut self.work {
                        work.close();
                    }
                }
                ReceiverOutput::Finished => {
                    self.is_over = true;
                    // What is staged is removed first: a node that stops in between does it after the next start.
                    if !self.next.contains(&Job::Discard) {
                        self.shared.close_push(push_id, Side::Target).await?;
                    }
                }
            }
        }
        if self.work.is_none()
            && let Some(job) = self.next.pop_front()
        {
            self.job = Some(job);
            self.work = Some(Work::start(job, self.task(job).await));
        }
        let is_over = self.hangs_up || (self.is_over && self.engine.state().phase.is_final());
        if is_over && self.backlog.is_empty() {
            self.line = None;
        }
        if !self.takes_in() {
            self.waiting = None;
        }
        self.is_receiving.store(self.takes_in(), Ordering::Relaxed);
        Ok(())
    }

    fn say(&mut self, message: PushMessage) {
        if self.line.is_some() {
            self.backlog.push_back(message);
        }
    }

    async fn task(&self, job: Job) -> Task {
        let (shared, offer) = (&self.shared, &self.offer);
        let earlier = if job == Job::Receive { shared.earlier(offer).await } else { Vec::new() };
        let shares_pages = job == Job::Discard && shared.may_send(offer.push_id).await;
        Task {
            shared: Arc::clone(&self.shared),
            offer: Arc::clone(&self.offer),
            rollback: self.rollback,
            staging: Arc::clone(&self.staging),
            progress: self.shared.push_progress(self.offer.push_id, self.shared.me),
            earlier,
            shares_pages,
        }
    }

    async fn report(&mut self, report: Report) -> Result<(), NodeError> {
        let done = match report {
            Report::Say(message) => {
                self.say(message);
                return Ok(());
            }
            Report::Fetch(from, chunks, lacking) => {
                self.fetch(from, chunks, lacking);
                return Ok(());
            }
            Report::Done(done) => done,
        };
        let (job, push_id) = (self.job.take(), self.offer.push_id);
        self.work = None;
        let input = match done {
            Ok(Outcome::Staged) => ReceiverInput::Staged,
            Ok(Outcome::Verified(verification)) => ReceiverInput::Verified(verification),
            Ok(Outcome::Placed(confirmation)) => {
                if let Some(rollback) = self.rollback {
                    self.shared.note_rollback(rollback.of, (push_id, self.offer.by)).await?;
                }
                ReceiverInput::Placed(confirmation)
            }
            Ok(Outcome::Discarded) => {
                return self.shared.close_discarded(push_id).await;
            }
            Err(Failure::Paused) => return Ok(()),
            // It stays open: the next start tries again.
            Err(Failure::Problem(problem)) if job == Some(Job::Discard) => {
                tracing::warn!(%push_id, detail = problem.detail, "what was staged cannot be removed");
                return Ok(());
            }
            Err(Failure::Problem(problem)) => ReceiverInput::Failed(problem),
        };
        self.engine.handle_input(input, clock::now().wall);
        Ok(())
    }

    /// Asks another target, and hands what it sends to the work.
    fn fetch(
        &self,
        from: mesh_protocol::PeerId,
        chunks: mesh_protocol::ChunkRange,
        lacking: Vec<mesh_protocol::ChunkRanges>,
    ) {
        let Some((input, over)) = self.work.as_ref().and_then(Work::way_in) else { return };
        let (shared, offer) = (Arc::clone(&self.shared), Arc::clone(&self.offer));
        self.shared.tasks.spawn(async move {
            let fetching = shared.fetch_chunks(&offer, from, chunks, lacking, &input);
            // The work has ended: what was to come is not wanted.
            let _over = over.run_until_cancelled(fetching).await;
        });
    }
}

async fn give(input: Option<&Input>, waiting: &mut Option<Intake>) -> bool {
    match input {
        Some(input) => input.give(waiting).await,
        None => std::future::pending().await,
    }
}

async fn say_next(sender: Option<&mpsc::Sender<PushMessage>>, backlog: &mut VecDeque<PushMessage>) {
    let Some(sender) = sender else { return std::future::pending().await };
    let place = sender.reserve().await;
    if let (Ok(place), Some(message)) = (place, backlog.pop_front()) {
        place.send(message);
    }
}
