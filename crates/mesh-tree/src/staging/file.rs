//! One file that is being put together.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use mesh_protocol::{FileDigests, FileEntry, FileTime};
use rustix::fs::{FallocateFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::{Note, Noted, Staging};
use crate::digests::{Prefix, digests_of};
use crate::facts::{is_as_given, timespec};
use crate::local::LocalFile;
use crate::path::shown;
use crate::{Kind, TreeError, Usage};

/// How many zeros are written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// A file with less bytes is not worth more than one note.
const SMALL_BYTES: u64 = 64 << 10;
/// What its owner has to be allowed while a file is put together.
const OWN_MODE: u32 = 0o600;
/// So many zeros that were copied are worth a hole.
const HOLE_BYTES_MIN: u64 = 64 << 10;

/// How a staged file takes its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// All of it at once, so that a full disk shows before anything is sent.
    Allocated,
    /// Only where something is written.
    Sparse,
    /// None before all its bytes are written, at once.
    AtOnce,
}

/// A file that is being put together. Cheap to clone. Every call blocks; calls from several threads may overlap.
#[derive(Clone, Debug)]
pub struct StagedFile {
    staging: Staging,
    number: u64,
    entry: FileEntry,
    file: Arc<File>,
}

/// The beginning of a staged file, read back and taken into SHA-256 while the rest is still to come.
#[derive(Debug, Default)]
pub struct Followed(Prefix);

impl Staging {
    /// Opens the file that is called `number` in this push, which goes on where it stopped.
    ///
    /// A finished one begins anew.
    ///
    /// # Errors
    /// [`TreeError::Quota`] or [`TreeError::Full`] when there is no room for it.
    pub fn file(
        &self,
        number: u64,
        entry: &FileEntry,
        space: Space,
    ) -> Result<StagedFile, TreeError> {
        let at = TreeError::at(entry.path.as_bytes());
        let name = number.to_string().into_bytes();
        let opened = |file| self.opened(number, entry, file);
        // Where nothing was before, looking first would cost as much as making it.
        if self.0.is_fresh && !self.is_known(number) {
            match self.begin(number, entry, space) {
                Err(TreeError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
                begun => return begun.map(opened),
            }
        }
        let old = self.0.items.look(&name).map_err(&at)?;
        let is_of_size = old.is_some_and(|old| old.size == entry.bytes);
        if self.is_finished(number) || (!is_of_size && (old.is_some() || self.is_known(number))) {
            self.note(Note { number, what: Noted::Forgotten })?;
        }
        if is_of_size {
            return self.0.items.own_file(&name, OFlags::empty()).map(opened).map_err(at);
        }
        self.0.items.remove(&name).map_err(&at)?;
        self.begin(number, entry, space).map(opened)
    }

    /// Makes a file, if there is room for it.
    fn begin(&self, number: u64, entry: &FileEntry, space: Space) -> Result<File, TreeError> {
        let at = TreeError::at(entry.path.as_bytes());
        let name = number.to_string().into_bytes();
        let more = Usage { bytes: entry.bytes, files: 1 };
        self.0.root.reserve(entry.path.as_bytes(), more)?;
        // Who may read it in the end is settled when it is finished; mostly it is right from the beginning.
        let mode = new_mode(self.0.root.0.config.file_mode, false) | OWN_MODE;
        let file = self.0.items.new_file(&name, mode).map_err(&at)?;
        if let Err(error) = make_room(&file, entry.bytes, space) {
            drop(file);
            self.0.items.unlink(&name).map_err(&at)?;
            return Err(at(error));
        }
        Ok(file)
    }

    /// Stages a file whose bytes are all there.
    ///
    /// # Errors
    /// As [`file`](Self::file) and [`StagedFile::finish`].
    pub fn whole(
        &self,
        number: u64,
        entry: &FileEntry,
        digests: &FileDigests,
        bytes: &[u8],
    ) -> Result<(), TreeError> {
        let file = self.file(number, entry, Space::AtOnce)?;
        file.put(0, bytes)?;
        file.finish(digests)
    }

    /// Looks at a finished file once more: whether it is a file, and whether bytes, time and the bit that lets
    /// its owner run it are those that were announced.
    ///
    /// # Errors
    /// [`TreeError::Mismatch`] when it is not finished, or they are not: nothing of the file counts as
    /// verified any more then.
    pub fn check(
        &self,
        number: u64,
        entry: &FileEntry,
        digests: &FileDigests,
    ) -> Result<(), TreeError> {
        let path = entry.path.as_bytes();
        let at = TreeError::at(path);
        let name = number.to_string().into_bytes();
        let mismatch = || TreeError::Mismatch { path: shown(path) };
        if !self.is_finished(number) {
            return Err(mismatch());
        }
        let found = self.0.items.look(&name).map_err(&at)?;
        let is_as_left = found.is_some_and(|found| {
            found.kind == Kind::File
                && found.is_executable() == entry.is_executable
                && found.mode & 0o7000 == 0
                && is_as_given(found.modified, entry.modified)
        });
        if !is_as_left {
            self.note(Note { number, what: Noted::Forgotten })?;
            return Err(mismatch());
        }
        let file = self.0.items.own_file(&name, OFlags::empty()).map_err(&at)?;
        self.opened(number, entry, file).compare(digests, Prefix::default()).map(drop)
    }

    fn opened(&self, number: u64, entry: &FileEntry, file: File) -> StagedFile {
        StagedFile { staging: self.clone(), number, entry: entry.clone(), file: Arc::new(file) }
    }

    fn is_known(&self, number: u64) -> bool {
        let state = self.state();
        state.begun.contains_key(&number) || state.finished.holds(number..number.saturating_add(1))
    }
}

impl StagedFile {
    /// Returns what it is called in its push.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the first stretch from `offset` on that is not verified; none when there is none.
    #[must_use]
    pub fn next_missing(&self, offset: u64) -> Option<Range<u64>> {
        self.staging.next_missing(self.number, offset..self.entry.bytes)
    }

    /// Tells whether all of `range` is verified.
    #[must_use]
    pub fn is_verified(&self, range: Range<u64>) -> bool {
        self.staging.is_verified(self.number, range)
    }

    /// Writes bytes that the caller has verified, and notes it.
    ///
    /// # Errors
    /// [`TreeError::Mismatch`] behind the announced end; [`TreeError::Full`].
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), TreeError> {
        let range = self.range(offset, bytes.len() as u64)?;
        self.file.write_all_at(bytes, offset).map_err(|error| self.io(error))?;
        // A small file that is all here is compared and noted as finished next: one note for it is enough.
        if range == (0..self.entry.bytes) && self.entry.bytes < SMALL_BYTES {
            self.staging.remember(self.note_of(range));
            return Ok(());
        }
        self.verified(range)
    }

    /// Notes zeros, which take no space.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_zeros(&self, offset: u64, count: u64) -> Result<(), TreeError> {
        let range = self.range(offset, count)?;
        if range.is_empty() {
            return Ok(());
        }
        // A process that was killed may have left half of something else there.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, hole, offset, count) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let zeros = vec![0; piece_of(count)];
                let mut at = range.start;
                while at < range.end {
                    let zeros = zeros.get(..piece_of(range.end - at)).unwrap_or(&zeros);
                    self.file.write_all_at(zeros, at).map_err(|error| self.io(error))?;
                    at += zeros.len() as u64;
                }
            }
            Err(error) => return Err(self.io(error.into())),
        }
        self.verified(range)
    }

    /// Copies `count` bytes of `source`, and notes them if they are what `blake3` says. Returns whether they
    /// are. Many zeros become a hole.
    ///
    /// They pass through this process: the kernel's own copy goes page by page, which takes longer, and
    /// would have to be read back.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn copy(
        &self,
        source: &LocalFile,
        from: u64,
        offset: u64,
        count: u64,
        blake3: &[u8; 32],
    ) -> Result<bool, TreeError> {
        let range = self.range(offset, count)?;
        let mut scratch = self.staging.take_scratch();
        let bytes = scratch.of(usize::try_from(count).unwrap_or(usize::MAX));
        let copied = self.copy_through(bytes, source, from, &range, blake3);
        self.staging.keep_scratch(scratch);
        copied
    }

    fn copy_through(
        &self,
        bytes: &mut [u8],
        source: &LocalFile,
        from: u64,
        to: &Range<u64>,
        blake3: &[u8; 32],
    ) -> Result<bool, TreeError> {
        if source.read_at(bytes, from)? < bytes.len() || blake3::hash(bytes) != *blake3 {
            return Ok(false);
        }
        let count = to.end - to.start;
        if count >= HOLE_BYTES_MIN && bytes.iter().all(|byte| *byte == 0) {
            // Whatever the source was: holes stay holes, wherever their chunks came from.
            self.put_zeros(to.start, count)?;
        } else {
            self.file.write_all_at(bytes, to.start).map_err(|error| self.io(error))?;
            self.verified(to.clone())?;
        }
        Ok(true)
    }

    /// Reads back what became verified behind `followed`, up to the first stretch that is not.
    ///
    /// # Errors
    /// [`TreeError::Mismatch`] when somebody has cut the file off; otherwise the system's.
    pub fn follow(&self, followed: &mut Followed) -> Result<(), TreeError> {
        let end = self.next_missing(followed.0.end());
        let end = end.map_or(self.entry.bytes, |missing| missing.start);
        let is_whole = followed.0.read(&self.file, end).map_err(|error| self.io(error))?;
        if is_whole { Ok(()) } else { Err(self.mismatch()) }
    }

    /// Reads what is on disk once more, compares it, and gives the file its mode and time.
    ///
    /// # Errors
    /// [`TreeError::Mismatch`] when the bytes are not those that were announced: nothing of the file counts
    /// as verified any more.
    pub fn finish(self, digests: &FileDigests) -> Result<(), TreeError> {
        self.finish_followed(digests, Followed::default())
    }

    /// The same, but for SHA-256 of what was [followed](Self::follow). All of it is read once more for BLAKE3: bytes
    /// that became others since they were followed are found like any others.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_followed(
        self,
        digests: &FileDigests,
        followed: Followed,
    ) -> Result<(), TreeError> {
        let found = self.compare(digests, followed.0)?;
        let at = TreeError::at(self.entry.path.as_bytes());
        let mode = new_mode(self.staging.0.root.0.config.file_mode, self.entry.is_executable);
        if found != mode {
            set_mode(&self.file, mode).map_err(&at)?;
        }
        rustix::fs::futimens(&self.file, &times(self.entry.modified)).map_err(&at)?;
        // Where not everything can be synced at once, each file is.
        #[cfg(not(target_os = "linux"))]
        self.file.sync_all().map_err(|error| self.io(error))?;
        self.staging.note(Note { number: self.number, what: Noted::Finished })
    }

    /// Reads all of it, and returns its mode. When it is not what was announced, nothing of it counts as verified any
    /// more.
    fn compare(&self, digests: &FileDigests, prefix: Prefix) -> Result<u32, TreeError> {
        let found = digests_of(&self.file, self.entry.bytes, prefix);
        let found = found.map_err(|error| self.io(error))?;
        let facts = self.file.metadata().map_err(|error| self.io(error))?;
        // Somebody may have cut it off.
        let is_same = facts.len() == self.entry.bytes && found.as_ref() == Some(digests);
        if is_same { Ok(facts.mode() & 0o7777) } else { Err(self.forget()?) }
    }

    fn forget(&self) -> Result<TreeError, TreeError> {
        self.staging.note(Note { number: self.number, what: Noted::Forgotten })?;
        Ok(self.mismatch())
    }

    fn range(&self, offset: u64, count: u64) -> Result<Range<u64>, TreeError> {
        match offset.checked_add(count) {
            Some(end) if end <= self.entry.bytes => Ok(offset..end),
            _ => Err(self.mismatch()),
        }
    }

    fn verified(&self, range: Range<u64>) -> Result<(), TreeError> {
        if range.is_empty() {
            return Ok(());
        }
        self.staging.note(self.note_of(range))
    }

    fn note_of(&self, range: Range<u64>) -> Note {
        let what = Noted::Verified { start: range.start, end: range.end };
        Note { number: self.number, what }
    }

    fn mismatch(&self) -> TreeError {
        TreeError::Mismatch { path: shown(self.entry.path.as_bytes()) }
    }

    fn io(&self, error: std::io::Error) -> TreeError {
        TreeError::from_io(self.entry.path.as_bytes(), error)
    }
}

fn piece_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)
}

fn make_room(file: &File, bytes: u64, space: Space) -> Result<(), Errno> {
    if space == Space::AtOnce {
        return Ok(());
    }
    rustix::fs::ftruncate(file, bytes)?;
    if space == Space::Sparse || bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        done => done,
    }
}

/// Whoever may read a program may run it; nothing else of a mode travels.
pub(crate) fn new_mode(mode: u32, is_executable: bool) -> u32 {
    let mode = mode & 0o666;
    if is_executable { mode | (mode & 0o444) >> 2 | 0o100 } else { mode }
}

pub(crate) fn set_mode(file: &impl std::os::fd::AsFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode as rustix::fs::RawMode))
}

pub(crate) fn times(modified: FileTime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: timespec(modified),
    }
}
