//! What is done for a push on a thread that may block: one piece of work at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mesh_protocol::{
    ChunkHead, ChunkRange, ChunkRanges, Confirmation, PageIds, PageOf, PeerId, PushId, PushMessage,
    PushOffer, PushReason, PushStep, RelativePath, Verification,
};
use mesh_tree::Staging;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::{intake, place, rollback, verify};
use crate::pushes::ledger::Progress;
use crate::pushes::roots::{OpenRoot, RootError};
use crate::shared::Shared;

/// Bytes of chunks and pages that wait for the thread. A chunk has at most 4 MiB.
const WAITING_BYTES_MAX: usize = 6 << 20;
/// Messages that wait for it.
const WAITING_MAX: usize = 4096;
/// What a message without bytes counts for.
const MESSAGE_BYTES: usize = 256;
/// Reports that wait for the push's task.
const REPORTS_MAX: usize = 64;

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Take pages and chunks into staging.
    Receive,
    /// Check what is staged, and run the test.
    Verify,
    /// Put it in place.
    Place,
    /// Remove what is staged.
    Discard,
}

/// What a job is about.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) offer: Arc<PushOffer>,
    pub(super) rollback: Option<Rollback>,
    pub(super) progress: Arc<Progress>,
    /// For those who serve others, once all pages are there.
    pub(super) staging: Arc<Mutex<Option<Staging>>>,
    /// Earlier pushes into the same root, whose pages and files may be of use.
    pub(super) earlier: Vec<(PushId, RelativePath)>,
    /// This node sends it as well, from the same pages.
    pub(super) shares_pages: bool,
}

/// What a rollback takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rollback {
    pub(super) of: PushId,
    pub(super) is_forced: bool,
}

/// What goes in while pages and chunks are taken.
#[derive(Debug)]
pub(super) enum Intake {
    Ids(PageIds),
    Page(PageOf),
    Chunk(ChunkHead, Bytes),
    /// Another target is to be asked for what is lacking of these.
    Source(PeerId, ChunkRange),
    /// Whoever was asked for these did not send them all.
    Unserved(ChunkRange),
}

impl Intake {
    fn weight(&self) -> usize {
        MESSAGE_BYTES
            + match self {
                Self::Ids(ids) => ids.ids.len() * 32,
                Self::Page(page) => page.page.len(),
                Self::Chunk(_, bytes) => bytes.len(),
                Self::Source(..) | Self::Unserved(_) => 0,
            }
    }
}

/// What a job's thread waits for.
#[derive(Debug)]
pub(super) struct Weighed {
    pub(super) intake: Intake,
    _room: OwnedSemaphorePermit,
}

/// What a job says.
#[derive(Debug)]
pub(super) enum Report {
    /// To the sender.
    Say(PushMessage),
    /// Ask that target for these.
    Fetch(PeerId, ChunkRange, Vec<ChunkRanges>),
    /// It is over.
    Done(Result<Outcome, Failure>),
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Staged,
    Verified(Verification),
    Placed(Confirmation),
    Discarded,
}

/// A job under way.
#[derive(Debug)]
pub(super) struct Work {
    /// None once nothing more comes.
    input: Option<Input>,
    reports: mpsc::Receiver<Report>,
    /// Fires then.
    over: CancellationToken,
}

/// The way into a job. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Input {
    sender: mpsc::Sender<Weighed>,
    room: Arc<Semaphore>,
}

impl Input {
    /// Hands something over, once there is room. Says whether the job still takes it. Cancel safe in so far as what
    /// `take` would have taken stays where it is.
    pub(super) async fn give(&self, waiting: &mut Option<Intake>) -> bool {
        let Some(weight) = waiting.as_ref().map(Intake::weight) else { return true };
        let weight = u32::try_from(weight.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(weight).await;
        let (Ok(room), Ok(place)) = (room, self.sender.reserve().await) else { return false };
        if let Some(intake) = waiting.take() {
            place.send(Weighed { intake, _room: room });
        }
        true
    }
}

impl Work {
    /// Starts a job.
    pub(super) fn start(job: Job, task: Task) -> Self {
        let (sender, input) = mpsc::channel(WAITING_MAX);
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        let tasks = task.shared.tasks.clone();
        // Nothing ends it early: it sees by itself that nobody wants it any more.
        let _joined_by_its_report = tasks.isolate(async move {
            let saying = reporter.clone();
            let running = tokio::task::spawn_blocking(move || run(job, &task, input, &saying));
            let done = running.await.unwrap_or_else(|error| {
                let detail = format!("a piece of work on the push ended early: {error}");
                Err(Failure::new(PushStep::Push, PushReason::Internal, detail))
            });
            let _nobody_waits = reporter.send(Report::Done(done)).await;
        });
        let over = CancellationToken::new();
        Self { input: Some(Input { sender, room }), reports, over }
    }

    /// Where things go in and come out.
    pub(super) fn parts(&mut self) -> (Option<&Input>, Option<&mut mpsc::Receiver<Report>>) {
        (self.input.as_ref(), Some(&mut self.reports))
    }

    /// The way in for somebody else, and what says that it is closed.
    pub(super) fn way_in(&self) -> Option<(Input, CancellationToken)> {
        self.input.clone().map(|input| (input, self.over.clone()))
    }

    /// Nothing more comes: what waits for something gives up.
    pub(super) fn close(&mut self) {
        self.input = None;
        self.over.cancel();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(
    job: Job,
    task: &Task,
    input: mpsc::Receiver<Weighed>,
    reporter: &mpsc::Sender<Report>,
) -> Result<Outcome, Failure> {
    match (job, task.rollback) {
        // There is nothing to take and nothing to check before it is planned.
        (Job::Receive, Some(_)) => Ok(Outcome::Staged),
        (Job::Verify, Some(rollback)) => rollback::verify(task, rollback).map(Outcome::Verified),
        (Job::Place, Some(rollback)) => rollback::place(task, rollback).map(Outcome::Placed),
        (Job::Receive, None) => intake::receive(task, input, reporter).map(|()| Outcome::Staged),
        (Job::Verify, None) => verify::verify(task).map(Outcome::Verified),
        (Job::Place, None) => place::place(task).map(Outcome::Placed),
        (Job::Discard, _) => place::discard(task).map(|()| Outcome::Discarded),
    }
}

impl Task {
    /// The push's root, which is opened unless it is open.
    pub(super) fn root(&self, step: PushStep) -> Result<OpenRoot, Failure> {
        self.shared.pushes.roots.open(&self.offer.root).map_err(|error| {
            let reason = match error {
                RootError::Unknown(_) => PushReason::RootUnknown,
                RootError::Closed { .. } => PushReason::StorageError,
            };
            Failure::new(step, reason, crate::error::chain(&error))
        })
    }

    /// Whoever was removed from the mesh while its push was under way changes nothing here.
    pub(super) fn check_member(&self, step: PushStep) -> Result<(), Failure> {
        if self.shared.view().verdict.is_member(&self.offer.by) {
            return Ok(());
        }
        Err(Failure::new(step, PushReason::NotAMember, "who pushes is no member any more"))
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.shared.data_dir.path().to_owned()
    }
}
