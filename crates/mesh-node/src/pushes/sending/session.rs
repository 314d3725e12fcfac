//! One stream with one target: what is said on it, and how much of it at once.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_files::RateLimit;
use mesh_protocol::{
    ChunkNeed, ChunkRanges, ChunkSource, PAGE_IDS_MAX, PageIds, PageNeed, PeerId, PushAnswer,
    PushMessage, PushMethod, PushProblem, PushReason, PushResult,
};
use mesh_transport::OpenStreamError;
use mesh_tree::Source;
use tokio::sync::mpsc;

use super::chunks::Pages;
use super::serving::{Ask, Batch, LinkRate, serve};
use crate::clock;
use crate::pushes::channel::{
    ChannelError, PushReader, PushWriter, Received, channel, channel_here,
};
use crate::pushes::ledger::Progress;
use crate::shared::{Shared, lock};
use crate::streams::StreamUse;

/// Ranges that one target may have asked for and not got; more are not read until some are on their way.
const RANGES_WAITING_MAX: usize = 32_768;
/// Batches that are ready and not written.
const BATCHES_MAX: usize = 4;
/// How long the other side may take to read the last words.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Bytes after which it is said how quickly they went.
const RATE_WINDOW_BYTES: u64 = 4 << 20;

/// What a session is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve what the target asks for.
    Serve { pages: Arc<Pages>, sources: Vec<Source> },
    /// Send this.
    Ask(Ask),
    /// Name another target to it.
    Source(ChunkSource),
    /// Say that it is over, and end.
    Stop(PushProblem),
}

/// What a session tells.
#[derive(Debug)]
pub(super) enum Heard {
    Answered(PushAnswer),
    /// It lacks these; told only when several targets share the work.
    Need(ChunkNeed),
    Have(ChunkRanges),
    Resulted(PushResult),
    /// Everything of an [`Ask`] is on its way.
    Served(u64),
    /// The files are not what was prepared.
    Failed(PushProblem),
    Ended,
}

/// From which session it comes.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) peer: PeerId,
    pub(super) session: u64,
    pub(super) heard: Heard,
}

/// A stream that is to be opened.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: PeerId,
    pub(super) id: u64,
    pub(super) opening: PushMessage,
    /// Whether what the target asks for is sent at once, because there is nobody else to ask.
    pub(super) is_direct: bool,
    pub(super) progress: Arc<Progress>,
    pub(super) limit: Option<Arc<Mutex<RateLimit>>>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Session {
    /// Opens the stream and keeps to it until it ends, whoever ends it.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        match self.open(&shared).await {
            Ok((reader, writer)) => {
                if let Err(error) = self.talk(reader, writer).await {
                    tracing::debug!(peer = %self.peer.short(), %error, "the stream of a push ended");
                }
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer.short(), %error, "no stream for a push");
            }
        }
        self.report(Heard::Ended).await;
    }

    /// A rollback may be for this node, too.
    async fn open(
        &self,
        shared: &Arc<Shared>,
    ) -> Result<(PushReader, PushWriter), OpenStreamError> {
        if self.peer != shared.me {
            return Ok(channel(shared.open_stream(&self.peer, &StreamUse::Push).await?));
        }
        let [here, (reader, writer)] = channel_here();
        shared.tasks.spawn(Arc::clone(shared).receive_on(
            shared.me,
            PushMethod::Stream,
            reader,
            writer,
        ));
        Ok(here)
    }

    async fn report(&self, heard: Heard) {
        tell(&self.reports, self.peer, self.id, heard).await;
    }

    async fn talk(&mut self, reader: PushReader, writer: PushWriter) -> Result<(), ChannelError> {
        let (say, said) = mpsc::channel(BATCHES_MAX);
        let (batches_in, batches) = mpsc::channel(BATCHES_MAX);
        let rate = LinkRate::default();
        let writing = Writing {
            writer,
            counted: 0,
            progress: Arc::clone(&self.progress),
            limit: self.limit.clone(),
            rate: Arc::clone(&rate),
            reports: self.reports.clone(),
            from: (self.peer, self.id),
        };
        let mut writing = std::pin::pin!(writing.run(said, batches));
        let _always_room = say.try_send(self.opening.clone());
        tokio::select! {
            ended = self.listen(reader, &say, (batches_in, rate)) => {
                // Whoever writes finishes when nobody has anything to say any more.
                drop(say);
                let _at_most = tokio::time::timeout(LAST_WORDS, writing).await;
                ended
            }
            ended = &mut writing => ended,
        }
    }

    async fn listen(
        &mut self,
        mut reader: PushReader,
        say: &mpsc::Sender<PushMessage>,
        (batches, rate): (mpsc::Sender<Batch>, LinkRate),
    ) -> Result<(), ChannelError> {
        let (ask, asked) = mpsc::channel(BATCHES_MAX);
        let mut not_served = Some((asked, batches));
        let mut backlog = Backlog::default();
        let mut counted = 0;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return Ok(()),
                    Some(Command::Serve { pages, sources }) => {
                        if let Some((asked, batches)) = not_served.take() {
                            let (pages, rate) = (Arc::clone(&pages), Arc::clone(&rate));
                            tokio::task::spawn_blocking(move || {
                                serve(pages, sources, rate, asked, batches);
                            });
                        }
                        for message in names_of(&pages) {
                            let _is_said = say.send(message).await;
                        }
                    }
                    Some(Command::Ask(wanted)) => backlog.push(wanted),
                    Some(Command::Source(source)) => {
                        let _is_said = say.send(PushMessage::Source(source)).await;
                    }
                    Some(Command::Stop(problem)) => {
                        let _is_said = say.send(PushMessage::Stop(problem)).await;
                        return Ok(());
                    }
                },
                received = reader.recv(), if backlog.ranges < RANGES_WAITING_MAX => {
                    let received = received?;
                    self.progress.wire.fetch_add(reader.bytes - counted, Ordering::Relaxed);
                    counted = reader.bytes;
                    let message = match received {
                        None => return Ok(()),
                        Some(Received::Chunk(..)) => return Err(unexpected()),
                        Some(Received::Message(message)) => message,
                    };
                    if self.take(message, &mut backlog).await? {
                        return Ok(());
                    }
                }
                room = ask.reserve(), if !backlog.asks.is_empty() => match room {
                    Ok(room) => {
                        if let Some(wanted) = backlog.pop() {
                            room.send(wanted);
                        }
                    }
                    // Whoever served has said why it ended.
                    Err(_) => backlog.clear(),
                },
            }
        }
    }

    /// Says whether that was the last word.
    async fn take(
        &self,
        message: PushMessage,
        backlog: &mut Backlog,
    ) -> Result<bool, ChannelError> {
        match message {
            PushMessage::Answer(answer) => {
                let is_over = matches!(answer, PushAnswer::Refused(_));
                self.report(Heard::Answered(answer)).await;
                return Ok(is_over);
            }
            PushMessage::PageNeed(PageNeed { pages, is_last: _ }) => {
                backlog.push(Ask::Pages(pages));
            }
            PushMessage::Need(need) if self.is_direct => {
                backlog.push(Ask::Chunks(need.chunks, None));
            }
            PushMessage::Need(need) => self.report(Heard::Need(need)).await,
            PushMessage::Have(chunks) => self.report(Heard::Have(chunks)).await,
            PushMessage::Result(result) => {
                let is_over = match &result {
                    PushResult::Verified(_) => false,
                    PushResult::Confirmed(_) | PushResult::Failed(_) => true,
                };
                self.report(Heard::Resulted(result)).await;
                return Ok(is_over);
            }
            PushMessage::Stop(problem) => {
                // Busy is no end: it may be offered again.
                if problem.reason != PushReason::Busy {
                    self.report(Heard::Resulted(PushResult::Failed(problem))).await;
                }
                return Ok(true);
            }
            PushMessage::Offer(_)
            | PushMessage::Rollback(_)
            | PushMessage::PageIds(_)
            | PushMessage::Page(_)
            | PushMessage::Source(_)
            | PushMessage::Fetch(_)
            | PushMessage::Chunk(_) => return Err(unexpected()),
        }
        Ok(false)
    }
}

async fn tell(reports: &mpsc::Sender<Report>, peer: PeerId, session: u64, heard: Heard) {
    // Nobody listens when the push is over, or the node stops.
    let _is_heard = reports.send(Report { peer, session, heard }).await;
}

/// What only a sender says.
fn unexpected() -> ChannelError {
    mesh_protocol::DecodeError::Malformed { what: "message of a target" }.into()
}

pub(super) fn names_of(pages: &Pages) -> Vec<PushMessage> {
    let ids: Vec<_> = pages.ids().collect();
    let firsts = (0_u64..).step_by(PAGE_IDS_MAX);
    let named = firsts.zip(ids.chunks(PAGE_IDS_MAX));
    named.map(|(first, ids)| PushMessage::PageIds(PageIds { first, ids: ids.to_vec() })).collect()
}

/// What was asked for, in its order, and not handed over to whoever serves.
#[derive(Debug, Default)]
struct Backlog {
    asks: VecDeque<Ask>,
    ranges: usize,
}

impl Backlog {
    fn push(&mut self, ask: Ask) {
        self.ranges += cost(&ask);
        self.asks.push_back(ask);
    }

    fn pop(&mut self) -> Option<Ask> {
        let ask = self.asks.pop_front()?;
        self.ranges = self.ranges.saturating_sub(cost(&ask));
        Some(ask)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// An ask for nothing takes room, too.
const fn cost(ask: &Ask) -> usize {
    match ask {
        Ask::Pages(ranges) | Ask::Chunks(ranges, _) => ranges.len() + 1,
    }
}

/// The half that writes.
struct Writing {
    writer: PushWriter,
    /// Bytes of the writer that were added to the progress.
    counted: u64,
    progress: Arc<Progress>,
    limit: Option<Arc<Mutex<RateLimit>>>,
    rate: LinkRate,
    reports: mpsc::Sender<Report>,
    from: (PeerId, u64),
}

impl Writing {
    /// Writes until nobody has anything to say; what was asked for and is not written is left out then.
    async fn run(
        mut self,
        mut said: mpsc::Receiver<PushMessage>,
        mut batches: mpsc::Receiver<Batch>,
    ) -> Result<(), ChannelError> {
        let mut window = Window::default();
        let mut is_served = true;
        loop {
            tokio::select! {
                biased;
                message = said.recv() => match message {
                    Some(message) => self.writer.send(&message).await?,
                    None => {
                        self.writer.finish();
                        return Ok(());
                    }
                },
                batch = batches.recv(), if is_served => match batch {
                    Some(Batch::Bytes(bytes)) => {
                        self.wait_for_limit(bytes.len() as u64).await;
                        let (count, begun) = (bytes.len() as u64, clock::now().instant);
                        self.writer.send_encoded(bytes).await?;
                        let took = clock::now().instant.saturating_duration_since(begun);
                        if let Some(rate) = window.add(count, took) {
                            self.rate.store(rate, Ordering::Relaxed);
                        }
                    }
                    Some(Batch::Done(tag)) => {
                        tell(&self.reports, self.from.0, self.from.1, Heard::Served(tag)).await;
                    }
                    Some(Batch::Failed(problem)) => {
                        tell(&self.reports, self.from.0, self.from.1, Heard::Failed(problem)).await;
                    }
                    Some(Batch::Refused(problem)) => {
                        self.writer.send(&PushMessage::Stop(problem.clone())).await?;
                        let heard = Heard::Resulted(PushResult::Failed(problem));
                        tell(&self.reports, self.from.0, self.from.1, heard).await;
                    }
                    None => is_served = false,
                },
            }
            let bytes = self.writer.bytes;
            self.progress.wire.fetch_add(bytes - self.counted, Ordering::Relaxed);
            self.counted = bytes;
        }
    }

    async fn wait_for_limit(&self, bytes: u64) {
        let Some(limit) = &self.limit else { return };
        loop {
            let now = clock::now().instant;
            let Err(wait) = lock(limit).take(bytes, now) else { return };
            clock::sleep_until(now.checked_add(wait)).await;
        }
    }
}

/// How quickly the link takes bytes: what it takes at once tells that it is quicker than this side.
#[derive(Debug, Default)]
struct Window {
    bytes: u64,
    took: Duration,
}

impl Window {
    fn add(&mut self, bytes: u64, took: Duration) -> Option<u64> {
        self.bytes += bytes;
        self.took += took;
        if self.bytes < RATE_WINDOW_BYTES {
            return None;
        }
        let whole = std::mem::take(self);
        let micros = whole.took.as_micros().max(1);
        let rate = u128::from(whole.bytes) * 1_000_000 / micros;
        Some(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
    }
}
