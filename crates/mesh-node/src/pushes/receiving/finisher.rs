//! A thread beside the one that takes chunks: it compares files with their digests as they are complete, so that this is
//! done when the last chunk is there.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use mesh_protocol::{FileDigests, FileEntry, PushReason, PushStep};
use mesh_tree::{Root, RootReader, StagedFile, TreeError};
use sha2::{Digest as _, Sha256};

use super::failure::Failure;

/// Files that are handed over at once, each of which is open: waking a thread for each takes longer than it works.
const BATCH_MAX: usize = 32;
/// A file with so many bytes is worth it.
const LARGE_BYTES: u64 = 1 << 20;
/// Batches that wait.
const WAITING_MAX: usize = 2;
const PIECE_BYTES: usize = 1 << 20;

/// A file whose chunks are all there.
pub(super) enum Complete {
    /// It is staged.
    Staged(StagedFile, FileDigests),
    /// It stands in the root already.
    InPlace(FileEntry, FileDigests),
}

/// Hands files over to the thread.
pub(super) struct Finisher<'scope> {
    sender: Option<SyncSender<Vec<Complete>>>,
    batch: Vec<Complete>,
    thread: Option<ScopedJoinHandle<'scope, Result<(), Failure>>>,
}

impl<'scope> Finisher<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, root: Root) -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = scope.spawn(move || finish_each(&root, &receiver));
        Self { sender: Some(sender), batch: Vec::new(), thread: Some(thread) }
    }

    /// Takes a file of so many bytes; the failure is one of those before it.
    pub(super) fn finish(&mut self, file: Complete, bytes: u64) -> Result<(), Failure> {
        self.batch.push(file);
        let is_due = bytes >= LARGE_BYTES || self.batch.len() >= BATCH_MAX;
        if is_due { self.hand_over() } else { Ok(()) }
    }

    /// Hands over what was taken: nothing more may come for a while.
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let is_taken = self.sender.as_ref().is_some_and(|sender| sender.send(batch).is_ok());
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

fn finish_each(root: &Root, batches: &Receiver<Vec<Complete>>) -> Result<(), Failure> {
    let mut root = root.reader();
    for file in batches.iter().flatten() {
        let finished = match file {
            Complete::Staged(file, digests) => file.finish(&digests),
            Complete::InPlace(entry, digests) => compare(&mut root, &entry, &digests),
        };
        finished.map_err(|error| Failure::tree(PushStep::Verify, &error))?;
    }
    Ok(())
}

/// Reads a file of the root and compares it with what was announced.
pub(super) fn compare(
    root: &mut RootReader,
    entry: &FileEntry,
    digests: &FileDigests,
) -> Result<(), TreeError> {
    let changed = || TreeError::Changed { path: entry.path.to_string() };
    let file = root.file(&entry.path)?;
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    let mut piece = vec![0; usize::try_from(entry.bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
    let mut offset = 0;
    while offset < entry.bytes {
        let read = file.read_at(&mut piece, offset)?;
        if read == 0 {
            return Err(changed());
        }
        let read_bytes = piece.get(..read).unwrap_or_default();
        blake3.update(read_bytes);
        sha256.update(read_bytes);
        offset += read as u64;
    }
    file.check_unchanged()?;
    let is_same = blake3.finalize() == digests.blake3
        && sha256.finalize().as_slice() == digests.sha256
        && file.facts().size == entry.bytes;
    if is_same { Ok(()) } else { Err(changed()) }
}
