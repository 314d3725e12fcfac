//! PREPARE: everything is read, hashed, cut and scanned, each file once.
//!
//! What it holds does not grow with what is pushed, but for the chunks of one file. Every call blocks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_files::{ManifestBuilder, ManifestError};
use mesh_protocol::{
    FileEntry, FolderEntry, LinkEntry, ManifestItem, PushId, PushProblem, PushReason, PushStep,
    PushTotals, RelativePath, WHOLE_FILE_BYTES_MAX,
};
use mesh_tree::{Facts, Kind, Refusal, Source, Sources, TreeError, Walk, WalkConfig, Walked};

use super::manifest_file::ManifestFile;
use super::roots::refuses;
use crate::error::chain;

mod crew;
mod digests;
mod reading;
mod scanning;

use crew::{Crew, Taken};
use reading::{FileRead, Reader};
use scanning::{Scanners, Scanning};

/// How often a file that changes while it is read is read.
const READS_MAX: u32 = 3;

/// What is to be prepared.
#[derive(Clone, Debug)]
pub(super) struct PrepareJob {
    pub(super) data_dir: PathBuf,
    pub(super) push_id: PushId,
    pub(super) sources: Vec<Source>,
    pub(super) destination: RelativePath,
    /// Whether `.gitignore` and `.meshignore` count.
    pub(super) has_rules: bool,
    /// Most bytes of files that the way they travel takes.
    pub(super) bytes_max: Option<u64>,
    /// Seconds of Unix time, for what is allowed until a day.
    pub(super) now: i64,
}

/// Whether anybody still wants it.
#[derive(Debug, Default)]
pub(super) struct PrepareWatch {
    pub(super) is_cancelled: AtomicBool,
}

/// What came of it. The pages are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) totals: PushTotals,
    pub(super) manifest: [u8; 32],
}

/// Makes a problem of PREPARE.
pub(super) fn problem(reason: PushReason, detail: impl Into<String>) -> PushProblem {
    refuses(PushStep::Prepare, reason, detail)
}

/// Reads, hashes, cuts and scans everything, and keeps the pages in the push's file.
///
/// # Errors
/// Why it must not or cannot be pushed.
pub(super) fn prepare(job: &PrepareJob, watch: &PrepareWatch) -> Result<Prepared, PushProblem> {
    let file = ManifestFile::create(&job.data_dir, job.push_id).map_err(|e| unstored(&e))?;
    let scanners = Scanners::new(&job.sources, job.now)?;
    std::thread::scope(|scope| {
        let work = Work {
            job,
            watch,
            sources: Sources::new(job.sources.clone()),
            crew: Crew::new(scope, &scanners),
            reader: Reader::new(scope),
            scanners: &scanners,
            scanning: Scanning::default(),
            builder: ManifestBuilder::new(job.destination.clone()),
            file,
            bytes: 0,
        };
        work.run()
    })
}

fn unstored(error: &std::io::Error) -> PushProblem {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let reason = if full { PushReason::DiskFull } else { PushReason::StorageError };
    problem(reason, format!("the list of what is pushed cannot be kept: {error}"))
}

/// More than a message takes.
pub(super) fn too_large(bytes_max: u64) -> PushProblem {
    let detail = format!(
        "one message takes at most {bytes_max} bytes of files, and what names them; without `--via message` there is no such bound"
    );
    problem(PushReason::QuotaExceeded, detail)
}

fn refused(error: &ManifestError) -> PushProblem {
    problem(error.reason(), error.to_string())
}

/// Says what the file system said, with the word for it.
pub(super) fn unread(error: &TreeError) -> PushProblem {
    let reason = match error {
        TreeError::Refused { why: Refusal::Special(_) | Refusal::TooLarge { .. }, .. } => {
            PushReason::KindRefused
        }
        TreeError::Refused { .. } | TreeError::Order { .. } => PushReason::PathRefused,
        TreeError::Changed { .. } | TreeError::Mismatch { .. } => PushReason::SourceChanged,
        TreeError::Quota { .. } => PushReason::QuotaExceeded,
        TreeError::Full { .. } => PushReason::DiskFull,
        TreeError::Busy { .. }
        | TreeError::Push { .. }
        | TreeError::Damaged { .. }
        | TreeError::Io { .. } => PushReason::StorageError,
    };
    problem(reason, chain(error))
}

struct Work<'scope, 'env> {
    job: &'env PrepareJob,
    watch: &'env PrepareWatch,
    sources: Sources,
    /// Reads small files beside the walk.
    crew: Crew<'scope, 'env>,
    /// Reads what it could not, and large files.
    reader: Reader,
    scanners: &'env Scanners,
    scanning: Scanning,
    builder: ManifestBuilder,
    file: ManifestFile,
    /// Of files that were come across.
    bytes: u64,
}

impl Work<'_, '_> {
    fn run(mut self) -> Result<Prepared, PushProblem> {
        let config = WalkConfig { has_rules: self.job.has_rules, ..WalkConfig::default() };
        let walk = Walk::new(self.job.sources.clone(), config).map_err(|error| unread(&error))?;
        for walked in walk {
            self.come_to(walked.map_err(|error| unread(&error))?)?;
            if self.watch.is_cancelled.load(Ordering::Relaxed) {
                return Err(problem(PushReason::Cancelled, "it was given up"));
            }
            if self.scanning.is_full() {
                break;
            }
        }
        self.settle()?;
        self.scanning.finish()?;
        let built = self.builder.finish().map_err(|error| refused(&error))?;
        if built.totals.entries == 0 {
            return Err(problem(PushReason::PathRefused, "there is nothing to be pushed"));
        }
        if let Some(page) = built.page {
            self.file.append(page.id, &page.bytes).map_err(|error| unstored(&error))?;
        }
        self.file.sync().map_err(|error| unstored(&error))?;
        Ok(Prepared { totals: built.totals, manifest: built.digest })
    }

    /// Comes to the next entry. A large file is read when everything before it is done.
    fn come_to(&mut self, walked: Walked) -> Result<(), PushProblem> {
        let facts = &walked.facts;
        if facts.kind == Kind::File {
            self.count(facts.size)?;
            if facts.size > WHOLE_FILE_BYTES_MAX {
                self.settle()?;
                return self.take_file(walked.path);
            }
        }
        let done = self.crew.take(walked);
        done.into_iter().try_for_each(|taken| self.take(taken))
    }

    /// Takes everything that was come to.
    fn settle(&mut self) -> Result<(), PushProblem> {
        loop {
            let done = self.crew.settle();
            if done.is_empty() {
                return Ok(());
            }
            done.into_iter().try_for_each(|taken| self.take(taken))?;
        }
    }

    fn take(&mut self, taken: Taken) -> Result<(), PushProblem> {
        let Walked { path, facts, target, .. } = taken.walked;
        match facts.kind {
            Kind::File => match taken.read {
                Some(Ok(read)) => self.add_file(path, read),
                Some(Err(error)) if !is_changed(&error) => Err(of_file(&path, &error)),
                Some(Err(_)) | None => self.take_file(path),
            },
            Kind::Folder => {
                let modified = facts.modified;
                let is_listable = is_listable(&facts);
                self.add(ManifestItem::Folder(FolderEntry { path, is_listable, modified }))
            }
            Kind::Link => {
                let target = target.unwrap_or_default();
                self.add(ManifestItem::Link(LinkEntry { path, target }))
            }
            Kind::Pipe | Kind::Socket | Kind::Device => {
                let detail = format!("{path} is {}", facts.kind);
                Err(problem(PushReason::KindRefused, detail))
            }
        }
    }

    /// What is too much is not read to its end first.
    fn count(&mut self, bytes: u64) -> Result<(), PushProblem> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.job.bytes_max {
            Some(max) if self.bytes > max => Err(too_large(max)),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads a file, again when it changes meanwhile.
    fn take_file(&mut self, path: RelativePath) -> Result<(), PushProblem> {
        let mut reads = 1;
        let read = loop {
            match self.read(&path) {
                Err(TreeError::Changed { .. }) if reads < READS_MAX => reads += 1,
                Err(error) => return Err(of_file(&path, &error)),
                Ok(None) => return Err(problem(PushReason::Cancelled, "it was given up")),
                Ok(Some(read)) => break read,
            }
        };
        self.add_file(path, read)
    }

    fn add_file(&mut self, path: RelativePath, read: FileRead) -> Result<(), PushProblem> {
        let FileRead { facts, digests, chunks, scanned } = read;
        self.scanning.scanned(scanned);
        let entry = FileEntry {
            path,
            bytes: facts.size,
            is_executable: facts.is_executable(),
            modified: facts.modified,
        };
        if facts.size <= WHOLE_FILE_BYTES_MAX {
            return self.add(ManifestItem::Whole(entry, digests));
        }
        self.add(ManifestItem::File(entry))?;
        self.add(ManifestItem::Chunks(chunks))?;
        self.add(ManifestItem::FileEnd(digests))
    }

    fn read(&mut self, path: &RelativePath) -> Result<Option<FileRead>, TreeError> {
        let file = match self.sources.open(path) {
            Err(TreeError::Io { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Err(TreeError::Changed { path });
            }
            opened => opened?,
        };
        let scan = self.scanners.begin(path);
        self.reader.read(&file, scan, self.watch)
    }

    fn add(&mut self, item: ManifestItem) -> Result<(), PushProblem> {
        for page in self.builder.add(item).map_err(|error| refused(&error))? {
            self.file.append(page.id, &page.bytes).map_err(|error| unstored(&error))?;
        }
        Ok(())
    }
}

/// Whether a file is not the one that was come across, or changed while it was read: it is read again.
fn is_changed(error: &TreeError) -> bool {
    match error {
        TreeError::Changed { .. } => true,
        TreeError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        TreeError::Refused { .. }
        | TreeError::Mismatch { .. }
        | TreeError::Quota { .. }
        | TreeError::Full { .. }
        | TreeError::Busy { .. }
        | TreeError::Push { .. }
        | TreeError::Order { .. }
        | TreeError::Damaged { .. } => false,
    }
}

fn of_file(path: &RelativePath, error: &TreeError) -> PushProblem {
    let told = unread(error);
    if told.reason == PushReason::SourceChanged {
        return problem(told.reason, format!("{path} changes while it is read"));
    }
    told
}

/// Whether others than its owner may list and enter a folder.
const fn is_listable(facts: &Facts) -> bool {
    facts.mode & 0o050 == 0o050 || facts.mode & 0o005 == 0o005
}

#[cfg(test)]
mod tests;
