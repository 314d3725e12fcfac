//! A thread beside the one that takes chunks: it compares files with their digests as they are complete, and reads large ones
//! while they come, so that little is left to be done when the last chunk is there.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use mesh_protocol::{FileDigests, FileEntry, PushReason, PushStep};
use mesh_tree::{Followed, Root, RootReader, StagedFile, TreeError};

use super::failure::Failure;

/// Files that are handed over at once, each of which is open: waking a thread for each takes longer than it works.
const BATCH_MAX: usize = 32;
/// A file with so many bytes is worth it.
const LARGE_BYTES: u64 = 1 << 20;
/// Batches that wait.
const WAITING_MAX: usize = 2;
/// A file with so many bytes is read while it comes, and so many bytes of it at a time.
const FOLLOWED_BYTES_MIN: u64 = 8 << 20;
const TOLD_BYTES: u64 = 1 << 20;
/// Files that are read while they come: mostly one comes after the other.
const FOLLOWED_MAX: usize = 16;

/// A file whose chunks are all there.
pub(super) enum Complete {
    /// It is staged.
    Staged(StagedFile, FileDigests),
    /// It stands in the root already.
    InPlace(FileEntry, FileDigests),
}

/// What the thread is told.
enum Step {
    /// These are complete.
    Complete(Vec<Complete>),
    /// A large file begins to come.
    Begun(StagedFile),
    /// More came of those that were begun.
    More,
}

/// Hands files over to the thread.
pub(super) struct Finisher<'scope> {
    sender: Option<SyncSender<Step>>,
    batch: Vec<Complete>,
    /// Bytes of large files that the thread was not told of.
    untold: u64,
    thread: Option<ScopedJoinHandle<'scope, Result<(), Failure>>>,
}

impl<'scope> Finisher<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, root: Root) -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = scope.spawn(move || run(&root, &receiver));
        Self { sender: Some(sender), batch: Vec::new(), untold: 0, thread: Some(thread) }
    }

    /// Takes a file of so many bytes; the failure is one of those before it.
    pub(super) fn finish(&mut self, file: Complete, bytes: u64) -> Result<(), Failure> {
        self.batch.push(file);
        let is_due = bytes >= LARGE_BYTES || self.batch.len() >= BATCH_MAX;
        if is_due { self.hand_over() } else { Ok(()) }
    }

    /// A file begins to come. A large one is read while it does.
    pub(super) fn begun(&mut self, file: &StagedFile, bytes: u64) -> Result<(), Failure> {
        if bytes < FOLLOWED_BYTES_MIN { Ok(()) } else { self.tell(Step::Begun(file.clone())) }
    }

    /// So many bytes of a file that is not complete came.
    pub(super) fn more(&mut self, bytes: u64) {
        self.untold = self.untold.saturating_add(bytes);
        if self.untold >= TOLD_BYTES {
            self.untold = 0;
            // A thread that is busy sees by itself what came meanwhile, and one that failed says so at the next file.
            let _told = self.sender.as_ref().map(|sender| sender.try_send(Step::More));
        }
    }

    /// Hands over what was taken: nothing more may come for a while.
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.tell(Step::Complete(batch))
    }

    fn tell(&mut self, step: Step) -> Result<(), Failure> {
        let is_taken = self.sender.as_ref().is_some_and(|sender| sender.send(step).is_ok());
        if is_taken { Ok(()) } else { self.join() }
    }

    /// Waits for all of them.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.hand_over()?;
        self.join()
    }

    fn join(&mut self) -> Result<(), Failure> {
        self.sender = None;
        let Some(thread) = self.thread.take() else { return Err(Failure::Paused) };
        thread.join().unwrap_or_else(|_| {
            let detail = "comparing files ended early";
            Err(Failure::new(PushStep::Verify, PushReason::Internal, detail))
        })
    }
}

fn run(root: &Root, steps: &Receiver<Step>) -> Result<(), Failure> {
    let mut root = root.reader();
    let mut following = Following::default();
    for step in steps {
        match step {
            Step::Complete(files) => {
                for file in files {
                    let finished = match file {
                        Complete::Staged(file, digests) => {
                            let followed = following.end(&file);
                            file.finish_followed(&digests, followed)
                        }
                        Complete::InPlace(entry, digests) => compare(&mut root, &entry, &digests),
                    };
                    finished.map_err(|error| Failure::tree(PushStep::Verify, &error))?;
                }
            }
            Step::Begun(file) => following.begin(file),
            Step::More => following.go_on(),
        }
    }
    Ok(())
}

/// Large files that are coming: when the last chunk is there, little is left to be read of them.
#[derive(Default)]
struct Following(Vec<(StagedFile, Followed)>);

impl Following {
    fn begin(&mut self, file: StagedFile) {
        let is_known = self.0.iter().any(|(other, _)| other.number() == file.number());
        // What is not followed is read when it is complete.
        if !is_known && self.0.len() < FOLLOWED_MAX {
            self.0.push((file, Followed::default()));
        }
    }

    fn go_on(&mut self) {
        // What cannot be read is told when the file is complete.
        self.0.retain_mut(|(file, followed)| file.follow(followed).is_ok());
    }

    fn end(&mut self, file: &StagedFile) -> Followed {
        let at = self.0.iter().position(|(other, _)| other.number() == file.number());
        at.map(|at| self.0.swap_remove(at).1).unwrap_or_default()
    }
}

/// Reads a file of the root and compares it with what was announced.
pub(super) fn compare(
    root: &mut RootReader,
    entry: &FileEntry,
    digests: &FileDigests,
) -> Result<(), TreeError> {
    let file = root.file(&entry.path)?;
    let found = file.digests()?;
    file.check_unchanged()?;
    let is_same = found.as_ref() == Some(digests) && file.facts().size == entry.bytes;
    if is_same { Ok(()) } else { Err(TreeError::Changed { path: entry.path.to_string() }) }
}
