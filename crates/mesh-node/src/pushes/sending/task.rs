//! One push of this node: wishes of the engine become effects, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mesh_files::{RangeSet, RateLimit, SenderInput, SenderOutput, SenderPush};
use mesh_protocol::{
    PeerId, PushId, PushMessage, PushMethod, PushOffer, PushProblem, PushReason, PushResult,
    PushStep,
};
use mesh_store::StoredPush;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::chunks::{Pages, problem};
use super::session::{Command, Report};
use super::spread::Spread;
use super::{Work, cancelled, targets_of};
use crate::clock;
use crate::error::NodeError;
use crate::pushes::ledger::{Progress, Side};
use crate::pushes::prepare::{PrepareWatch, Prepared};
use crate::shared::{Shared, lock};

mod by_message;
mod effects;
mod reports;

use effects::{joined, told};

/// Reports of sessions that wait to be taken in.
const REPORTS_MAX: usize = 64;
/// Commands that a session may be behind. A target that asks for everything again and again fills them up.
const COMMANDS_MAX: usize = 512;

/// How often it is looked who of the targets is linked with whom, when nothing else happens.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What others tell the task.
#[derive(Debug)]
pub(super) enum Control {
    Cancel,
    /// A target has taken the push back.
    RolledBack {
        target: PeerId,
        by: PushId,
    },
    /// A target says something in a message.
    Replied {
        from: PeerId,
        replies: Vec<PushMessage>,
        /// Told once it is recorded.
        done: oneshot::Sender<()>,
    },
}

/// What is known of the stream with a target.
#[derive(Debug)]
struct Line {
    /// The link that the target was last seen on.
    link: Option<u64>,
    session: Option<(u64, mpsc::Sender<Command>)>,
    has: RangeSet,
    progress: Arc<Progress>,
}

type Preparing = JoinHandle<Result<Prepared, PushProblem>>;

pub(super) struct SendingTask {
    shared: Arc<Shared>,
    offer: PushOffer,
    work: Work,
    engine: SenderPush,
    controls: mpsc::UnboundedReceiver<Control>,
    watch: Arc<PrepareWatch>,
    preparing: Option<Preparing>,
    /// Says that the announcement is committed.
    announced: Option<oneshot::Receiver<()>>,
    lines: BTreeMap<PeerId, Line>,
    reports: mpsc::Receiver<Report>,
    report: mpsc::Sender<Report>,
    sessions: u64,
    limit: Option<Arc<Mutex<RateLimit>>>,
    pages: Option<Arc<Pages>>,
    spread: Option<Spread>,
    /// Targets whose message is in the outbox, or was; only of a push that travels in messages.
    sent: BTreeSet<PeerId>,
    /// Whoever waits until what a target said is recorded.
    unrecorded: Vec<oneshot::Sender<()>>,
}

impl Drop for SendingTask {
    /// Nobody wants what PREPARE reads any more.
    fn drop(&mut self) {
        self.watch.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// The push is over, or the node stops.
struct Over;

impl From<NodeError> for Over {
    fn from(_stopping: NodeError) -> Self {
        Self
    }
}

impl SendingTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        stored: StoredPush,
        work: Work,
        controls: mpsc::UnboundedReceiver<Control>,
        watch: Arc<PrepareWatch>,
    ) -> Self {
        let StoredPush { row, events } = stored;
        let offer = row.offer;
        let settings = &shared.config.pushes;
        let targets = targets_of(&offer);
        let line = |peer: &PeerId| Line {
            link: None,
            session: None,
            has: RangeSet::default(),
            progress: shared.push_progress(offer.push_id, *peer),
        };
        let lines = targets.iter().map(|peer| (*peer, line(peer))).collect();
        let limit = match &work {
            Work::Files(request) => request.limit_bytes_per_second,
            Work::Pulled(_) | Work::Rollback { .. } => None,
        };
        let limit = limit.or(settings.limit_bytes_per_second);
        let engine = SenderPush::new(targets, offer.expires_at, settings.sender, &events);
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        Self {
            controls,
            watch,
            preparing: None,
            announced: None,
            lines,
            reports,
            report,
            sessions: 0,
            limit: limit.map(|limit| Arc::new(Mutex::new(RateLimit::new(limit)))),
            pages: None,
            spread: None,
            sent: by_message::answered(&engine).collect(),
            unrecorded: Vec::new(),
            engine,
            shared,
            offer,
            work,
        }
    }

    /// Carries the push out until it is over everywhere.
    pub(super) async fn run(mut self) {
        let mut links = self.shared.links_changed.subscribe();
        let mut members = self.shared.shared_config.members_changed.subscribe();
        self.engine.handle_timeout(clock::now().wall);
        self.look_at_links();
        while self.drain().await.is_ok() {
            for done in self.unrecorded.drain(..) {
                // It asked for nothing more.
                let _gone = done.send(());
            }
            self.plan();
            let now = clock::now();
            let due = self.engine.poll_timeout().and_then(|due| {
                now.instant.checked_add(Duration::from_millis(due.0.saturating_sub(now.wall.0)))
            });
            // Links between others come and go without a word to this node's own.
            let look = self.spread.as_ref().and_then(|_| now.instant.checked_add(LOOK_AGAIN_AFTER));
            let wake_at = [due, look].into_iter().flatten().min();
            if self.wait(wake_at, &mut links, &mut members).await.is_err() {
                return;
            }
        }
    }

    async fn wait(
        &mut self,
        wake_at: Option<Instant>,
        links: &mut tokio::sync::watch::Receiver<u64>,
        members: &mut tokio::sync::watch::Receiver<u64>,
    ) -> Result<(), Over> {
        tokio::select! {
            Some(report) = self.reports.recv() => {
                self.take(report);
                // What came together is planned together.
                while let Ok(report) = self.reports.try_recv() {
                    self.take(report);
                }
            }
            Some(control) = self.controls.recv() => self.control(control),
            prepared = joined(&mut self.preparing) => {
                self.preparing = None;
                self.prepared(prepared).await?;
            }
            () = told(&mut self.announced) => {
                self.announced = None;
                self.input(SenderInput::Announced);
            }
            _ = links.changed() => self.look_at_links(),
            _ = members.changed() => self.look_at_links(),
            () = clock::sleep_until(wake_at) => {
                self.engine.handle_timeout(clock::now().wall);
                self.look_at_neighbours();
                // Nobody has said anything for a while: one that does not say what it has holds nobody up.
                self.spread.iter_mut().for_each(Spread::doubt);
            }
        }
        Ok(())
    }

    fn input(&mut self, input: SenderInput) {
        self.engine.handle_input(input, clock::now().wall);
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Cancel => {
                let step = if self.engine.prepared().is_some() {
                    PushStep::Push
                } else {
                    PushStep::Prepare
                };
                self.give_up(cancelled(step));
            }
            Control::Replied { from, replies, done } => {
                self.replied(from, replies);
                self.unrecorded.push(done);
            }
            Control::RolledBack { target, by } => {
                self.input(SenderInput::RolledBack { target, by });
            }
        }
    }

    /// It goes no further at those who do not have all of it.
    fn give_up(&mut self, problem: PushProblem) {
        let under_way = self.under_way();
        self.input(SenderInput::Cancelled(problem.clone()));
        self.call_back(under_way, &problem);
    }

    /// Tells the engine whom there is a link with, and who is no member any more.
    fn look_at_links(&mut self) {
        let peers: Vec<PeerId> = self.lines.keys().copied().collect();
        let view = self.shared.view();
        for peer in peers {
            // This node reaches itself: a rollback may be for it, too.
            let is_me = peer == self.shared.me;
            let link = self.shared.link(&peer).map(|link| link.id);
            let link = match self.offer.method {
                // A message waits for nobody. When it is sent, one that is away is waited for.
                PushMethod::Message => (link.is_some() || !self.sent.contains(&peer)).then_some(0),
                PushMethod::Stream if is_me => Some(0),
                PushMethod::Stream => link,
            };
            if !is_me && !view.verdict.is_member(&peer) {
                let detail = "it is no member of this mesh any more";
                let problem = problem(PushReason::NotAMember, detail);
                self.input(SenderInput::Resulted(peer, PushResult::Failed(problem)));
                self.end_session(peer);
                continue;
            }
            let Some(line) = self.lines.get_mut(&peer) else { continue };
            let before = std::mem::replace(&mut line.link, link);
            if before == link {
                continue;
            }
            if before.is_some() {
                self.end_session(peer);
                self.input(SenderInput::Lost(peer));
            }
            if link.is_some() {
                self.input(SenderInput::Reached(peer));
            }
        }
        self.look_at_neighbours();
    }

    /// Only those who are linked with each other can serve each other.
    fn look_at_neighbours(&mut self) {
        let Some(spread) = &mut self.spread else { return };
        for peer in self.lines.keys() {
            let linked = lock(&self.shared.core).linked_with(peer);
            let targets = linked.into_iter().filter(|other| self.lines.contains_key(other));
            spread.links(*peer, targets.collect());
        }
    }

    fn end_session(&mut self, peer: PeerId) {
        if let Some(line) = self.lines.get_mut(&peer) {
            line.session = None;
        }
        if let Some(spread) = &mut self.spread {
            spread.end(peer);
        }
    }

    /// Carries out every wish.
    async fn drain(&mut self) -> Result<(), Over> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                SenderOutput::Record(event) => {
                    let push_id = self.offer.push_id;
                    // First, as nobody comes back to it: what is recorded of this push is not done again.
                    self.note_rollback(&event.fact, event.at).await?;
                    self.shared.record_push(push_id, Side::Sender, &event).await?;
                }
                SenderOutput::Prepare => self.prepare(),
                SenderOutput::Announce => self.announce(),
                SenderOutput::Offer(peer) if self.is_by_message() => {
                    self.offer_by_message(peer).await;
                }
                SenderOutput::Offer(peer) => self.offer(peer),
                SenderOutput::Serve(peer) => self.serve(peer).await,
                SenderOutput::Stop(peer, problem) => {
                    self.command(peer, Command::Stop(problem));
                    self.end_session(peer);
                }
                SenderOutput::Finished => {
                    self.forget_bundle().await;
                    self.shared.close_push(self.offer.push_id, Side::Sender).await?;
                    return Err(Over);
                }
            }
        }
        Ok(())
    }
}
