//! Pages and chunks as they come: one thread per push and stream, which waits for nothing but its sender.
//!
//! Whatever ends the stream ends this too. The next one starts at the beginning of the manifest, and finds in staging
//! what was verified before.

mod files;
mod pages;
mod standing;

use std::thread::Scope;

use bytes::Bytes;
use mesh_files::{CopyFrom, ManifestLimits, ManifestReader, Piece, Plan, PlanOutput};
use mesh_protocol::{
    ChunkHead, ChunkNeed, ChunkRange, ChunkRanges, ManifestItem, PushMessage, PushReason, PushStep,
};
use mesh_tree::Staging;
use tokio::sync::mpsc;
use zstd::bulk::Decompressor;

use super::failure::Failure;
use super::finisher::Finisher;
use super::sources::{Earlier, Sources};
use super::syncer::Syncer;
use super::work::{Intake, Report, Task, Weighed};
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::roots::OpenRoot;
use crate::shared::lock;

use files::{Files, Found};
use pages::Pages;

/// Chunks that are stored before others are told, unless there is a pause.
const TELL_CHUNKS: u32 = 512;
/// A range of chunks is looked through as far as this.
const LACKING_MAX: u64 = 64 << 10;

/// Takes everything that a push brings into staging, and compares each file with its digests.
pub(super) fn receive(
    task: &Task,
    input: mpsc::Receiver<Weighed>,
    reporter: &mpsc::Sender<Report>,
) -> Result<(), Failure> {
    let open = task.root(PushStep::Push)?;
    std::thread::scope(|scope| Receive::new(task, &open, scope, input, reporter)?.run())
}

struct Receive<'a> {
    task: &'a Task,
    pages: Pages,
    reader: Option<ManifestReader>,
    plan: Plan<Found>,
    files: Files<'a>,
    staging: Staging,
    syncer: Syncer<'a>,
    unpack: Decompressor<'static>,
    untold: u32,
    input: mpsc::Receiver<Weighed>,
    reporter: &'a mpsc::Sender<Report>,
}

impl<'a> Receive<'a> {
    fn new(
        task: &'a Task,
        open: &OpenRoot,
        scope: &'a Scope<'a, '_>,
        input: mpsc::Receiver<Weighed>,
        reporter: &'a mpsc::Sender<Report>,
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::tree(PushStep::Push, &error);
        let root = &open.root;
        let (offer, data_dir) = (&task.offer, task.data_dir());
        let is_resumed = Staging::list(root).map_err(failed)?.contains(&offer.push_id);
        let staging = Staging::open(root, offer.push_id).map_err(failed)?;
        let finisher = Finisher::start(scope, root.clone());
        let syncer = Syncer::start(scope, staging.clone());
        let earlier = task.earlier.iter().filter_map(|(push_id, destination)| {
            let pages = ManifestFile::open(&data_dir, *push_id).ok()?;
            Some(Earlier { destination: destination.clone(), pages })
        });
        let sources = Sources::new(root.clone(), earlier.collect());
        let limits = ManifestLimits {
            entries_max: open.settings.tree.files_max,
            bytes_max: open.settings.tree.bytes_max,
            folds_names: root.folds_names(),
        };
        let unpack = Decompressor::new().map_err(|error| Failure::pages(PushStep::Push, &error))?;
        task.progress.done.store(0, std::sync::atomic::Ordering::Relaxed);
        Ok(Self {
            task,
            pages: Pages::open(&data_dir, offer)?,
            reader: Some(ManifestReader::new(offer.destination.clone(), offer.totals, limits)?),
            plan: Plan::new(mesh_files::RangeSet::default()),
            files: Files::new(task, root, &staging, is_resumed, sources, finisher),
            staging,
            syncer,
            unpack,
            untold: 0,
            input,
            reporter,
        })
    }

    fn run(mut self) -> Result<(), Failure> {
        self.ask_pages()?;
        loop {
            self.go_on()?;
            if self.reader.is_none() && self.plan.is_complete() {
                return self.end();
            }
            let next = match self.input.try_recv() {
                Ok(next) => Some(next),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    self.tell()?;
                    self.input.blocking_recv()
                }
            };
            let Some(Weighed { intake, .. }) = next else { return Err(Failure::Paused) };
            self.take(intake)?;
        }
    }

    fn take(&mut self, intake: Intake) -> Result<(), Failure> {
        match intake {
            Intake::Ids(ids) => {
                self.pages.ids(&ids)?;
                self.ask_pages()
            }
            Intake::Page(page) => self.pages.page(&page, &self.files.sources),
            Intake::Chunk(head, bytes) => self.chunk(head, &bytes),
            Intake::Source(from, chunks) => {
                let lacking = self.lacking(chunks);
                self.report(Report::Fetch(from, chunks, lacking))
            }
            Intake::Unserved(chunks) => {
                for chunks in self.lacking(chunks) {
                    let need = ChunkNeed { chunks, is_last: true };
                    self.report(Report::Say(PushMessage::Need(need)))?;
                }
                Ok(())
            }
        }
    }

    /// Asks for the pages that are lacking, as soon as all their names are known.
    fn ask_pages(&mut self) -> Result<(), Failure> {
        for need in self.pages.ask(&self.files.sources)? {
            self.report(Report::Say(PushMessage::PageNeed(need)))?;
        }
        Ok(())
    }

    /// Does whatever can be done with what is here.
    fn go_on(&mut self) -> Result<(), Failure> {
        loop {
            while let Some(output) = self.plan.poll_output() {
                if self.input.is_closed() && self.input.is_empty() {
                    return Err(Failure::Paused);
                }
                self.carry_out(output)?;
            }
            if !self.plan.wants_page() || !self.files.has_room() {
                return Ok(());
            }
            match self.pages.next()? {
                Some((id, bytes)) => {
                    let Some(reader) = &mut self.reader else { return Ok(()) };
                    let pieces = reader.page(&id, &bytes)?;
                    self.entries(&pieces)?;
                    self.plan.page(&pieces);
                }
                None if self.pages.is_read() => {
                    let Some(reader) = self.reader.take() else { return Ok(()) };
                    reader.finish(&self.task.offer.manifest)?;
                    *lock(&self.task.staging) = Some(self.staging.clone());
                    self.plan.end();
                }
                None => return Ok(()),
            }
        }
    }

    fn entries(&mut self, pieces: &[Piece]) -> Result<(), Failure> {
        for piece in pieces {
            match piece {
                Piece::Entry { number, item } => match item {
                    ManifestItem::Whole(file, _) | ManifestItem::File(file) => {
                        self.files.begin(*number, file)?;
                    }
                    ManifestItem::Folder(_)
                    | ManifestItem::Link(_)
                    | ManifestItem::Chunks(_)
                    | ManifestItem::FileEnd(_) => {}
                },
                Piece::Chunk { place, number: _ } => self.files.count(place),
                Piece::FileEnd { entry, digests } => self.files.ends(*entry, *digests)?,
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, output: PlanOutput<Found>) -> Result<(), Failure> {
        match output {
            PlanOutput::Need(need) => self.report(Report::Say(PushMessage::Need(need))),
            PlanOutput::Look(looks) => {
                let answers = self.files.look(&looks)?;
                self.plan.looked(answers);
                Ok(())
            }
            PlanOutput::Copy { number, from, to } => {
                let is_written = !matches!(from, CopyFrom::Found(Found::Here));
                let is_there = match from {
                    CopyFrom::Found(found) => self.files.copy(&found, &to)?,
                    CopyFrom::Staged(place) => self.files.copy_staged(&place, &to)?,
                };
                if !is_there {
                    self.plan.copy_failed(number);
                    return Ok(());
                }
                if is_written {
                    self.syncer.wrote(u64::from(to.chunk.bytes))?;
                }
                self.stored(number, &to)
            }
        }
    }

    fn chunk(&mut self, head: ChunkHead, bytes: &Bytes) -> Result<(), Failure> {
        // Nobody asked for it, or it came from somebody else meanwhile.
        let Some(place) = self.plan.expected(head.number) else { return Ok(()) };
        let unpacked;
        let raw: &[u8] = if head.raw_bytes != place.chunk.bytes {
            &[]
        } else if head.is_compressed {
            let room = place.chunk.bytes as usize;
            unpacked = self.unpack.decompress(bytes, room).unwrap_or_default();
            &unpacked
        } else {
            bytes
        };
        let is_right = raw.len() == place.chunk.bytes as usize
            && blake3::hash(raw) == *place.chunk.id.as_bytes();
        if !is_right {
            let path = self.files.name_of(place.entry);
            tracing::warn!(push_id = %self.task.offer.push_id, "a chunk came that is not what it should be");
            return self.plan.came_wrong(head.number).map_err(|error| {
                let detail = format!("{path}: {error}");
                Failure::new(PushStep::Push, PushReason::ChecksumMismatch, detail)
            });
        }
        self.files.put(&place, raw)?;
        self.syncer.wrote(u64::from(place.chunk.bytes))?;
        self.stored(head.number, &place)
    }

    fn stored(&mut self, number: u64, place: &mesh_files::Place) -> Result<(), Failure> {
        self.plan.stored(number);
        self.files.stored(place)?;
        let done = &self.task.progress.done;
        done.fetch_add(u64::from(place.chunk.bytes), std::sync::atomic::Ordering::Relaxed);
        self.untold += 1;
        if self.untold >= TELL_CHUNKS { self.tell() } else { Ok(()) }
    }

    /// Tells what is here.
    fn tell(&mut self) -> Result<(), Failure> {
        self.untold = 0;
        self.files.hand_over()?;
        for chunks in self.plan.take_done() {
            self.report(Report::Say(PushMessage::Have(chunks)))?;
        }
        Ok(())
    }

    /// What was asked for, of these, and did not come.
    fn lacking(&self, chunks: ChunkRange) -> Vec<ChunkRanges> {
        let mut lacking: Vec<ChunkRanges> = Vec::new();
        let end = chunks.end().min(chunks.first.saturating_add(LACKING_MAX));
        for first in (chunks.first..end).filter(|number| self.plan.expected(*number).is_some()) {
            let range = ChunkRange { first, count: 1 };
            if !lacking.last_mut().is_some_and(|ranges| ranges.push(range)) {
                let mut ranges = ChunkRanges::default();
                ranges.push(range);
                lacking.push(ranges);
            }
        }
        lacking
    }

    fn end(mut self) -> Result<(), Failure> {
        self.tell()?;
        self.syncer.last()?;
        self.files.end()?;
        self.pages.sync()?;
        self.syncer.end()?;
        self.staging.sync().map_err(|error| Failure::tree(PushStep::Push, &error))
    }

    fn report(&self, report: Report) -> Result<(), Failure> {
        self.reporter.blocking_send(report).map_err(|_| Failure::Paused)
    }
}
