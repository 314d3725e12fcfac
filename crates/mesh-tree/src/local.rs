//! A file that is read, in pieces, and said to be changed when it does not stay the same.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use mesh_protocol::FileDigests;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::digests::{Prefix, digests_of};
use crate::folder::{Folder, Nearest};
use crate::path::{shown, split};
use crate::root::not_a_file;
use crate::{Facts, Kind, TreeError};

/// A regular file, open for reading. Every call blocks.
#[derive(Debug)]
pub struct LocalFile {
    pub(crate) file: File,
    path: Vec<u8>,
    facts: Facts,
}

impl LocalFile {
    pub(crate) fn open(top: &Folder, path: &[u8]) -> Result<Self, TreeError> {
        Self::open_called(top, path, path)
    }

    /// Opens the file at `place`, which errors call `path`.
    pub(crate) fn open_called(top: &Folder, place: &[u8], path: &[u8]) -> Result<Self, TreeError> {
        let at = TreeError::at(path);
        let opened = top.file(place).map_err(&at)?;
        let (file, facts) = opened.map_err(|kind| not_a_file(path, kind))?;
        Ok(Self { file, path: path.to_vec(), facts })
    }

    /// Opens the file at `path`. It is looked at in the folder that is near, but opened from `top` on: whatever became
    /// of that folder since it was opened leads nowhere else.
    pub(crate) fn open_near(
        top: &Folder,
        nearest: &mut Nearest,
        path: &[u8],
    ) -> Result<Self, TreeError> {
        let at = TreeError::at(path);
        let (folder, name) = split(path);
        let seen = match nearest.parent(top, folder).and_then(|folder| folder.look(name)) {
            Ok(Some(seen)) => seen,
            // Another folder may have come there.
            Ok(None) => {
                nearest.leave();
                nearest.parent(top, folder).and_then(|folder| folder.facts(name)).map_err(&at)?
            }
            Err(error) => return Err(at(error)),
        };
        if seen.kind != Kind::File {
            return Err(not_a_file(path, seen.kind));
        }
        let (file, facts) = top.seen_file(path).map_err(&at)?;
        if facts.kind != Kind::File {
            return Err(not_a_file(path, facts.kind));
        }
        Ok(Self { file, path: path.to_vec(), facts })
    }

    /// Opens a file that was looked at, of which this was seen.
    pub(crate) fn open_seen(top: &Folder, path: &[u8], seen: &Facts) -> Result<Self, TreeError> {
        if seen.kind != Kind::File {
            return Err(not_a_file(path, seen.kind));
        }
        let (file, facts) = top.seen_file(path).map_err(TreeError::at(path))?;
        let is_same = facts.is_untouched(seen);
        if is_same {
            Ok(Self { file, path: path.to_vec(), facts })
        } else {
            Err(TreeError::changed(path))
        }
    }

    /// Returns what it was when it was opened.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Fills `piece` from `offset` on, but for the end of the file, and returns how many bytes that are.
    ///
    /// # Errors
    /// The system's.
    pub fn read_at(&self, piece: &mut [u8], offset: u64) -> Result<usize, TreeError> {
        read_full(&self.file, piece, offset).map_err(|error| TreeError::from_io(&self.path, error))
    }

    /// Returns the next stretch from `offset` on that may have other bytes than zeros; none behind the
    /// last one. What lies between stretches need not be read.
    ///
    /// # Errors
    /// The system's.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, TreeError> {
        let at = TreeError::at(&self.path);
        if offset >= self.facts.size {
            return Ok(None);
        }
        if !self.facts.is_sparse() {
            return Ok(Some(offset..self.facts.size));
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // The file system does not tell.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some(offset..self.facts.size)),
            Err(error) => return Err(at(error)),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).map_err(at)?;
        Ok(Some(start..end.min(self.facts.size)).filter(|data| !data.is_empty()))
    }

    /// Reads all of it. None when it has become shorter meanwhile; whether it is as it was otherwise is another
    /// [question](Self::check_unchanged).
    ///
    /// # Errors
    /// The system's.
    pub fn digests(&self) -> Result<Option<FileDigests>, TreeError> {
        digests_of(&self.file, self.facts.size, Prefix::default())
            .map_err(|error| TreeError::from_io(&self.path, error))
    }

    /// Fails unless the file is, to its last change of anything, what it was when it was opened.
    ///
    /// Whether it still stands at its path is not asked: its bytes are those of one moment.
    ///
    /// # Errors
    /// [`TreeError::Changed`] with its path.
    pub fn check_unchanged(&self) -> Result<(), TreeError> {
        let facts = Facts::of(&rustix::fs::fstat(&self.file).map_err(TreeError::at(&self.path))?);
        let is_same = facts.is_untouched(&self.facts);
        if is_same { Ok(()) } else { Err(TreeError::Changed { path: shown(&self.path) }) }
    }
}

/// A buffer for bytes of files.
///
/// It begins where a line of the processor's cache does, but not where a page does: processors that copy by
/// strings take several times as long when both sides begin at about the same place of a page.
#[derive(Default)]
pub(crate) struct Piece {
    bytes: Vec<u8>,
    skipped: usize,
    len: usize,
}

const LINE_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;

impl Piece {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(2 * LINE_BYTES)];
        let start = bytes.as_ptr();
        let at_line = start.align_offset(LINE_BYTES);
        let is_at_page = start.align_offset(PAGE_BYTES) == at_line;
        let skipped = if is_at_page { at_line + LINE_BYTES } else { at_line };
        Self { bytes, skipped: skipped.min(2 * LINE_BYTES), len }
    }

    /// The same buffer for so many bytes, whatever they are, or a larger one.
    pub(crate) fn of(&mut self, len: usize) -> &mut [u8] {
        if self.len < len {
            *self = Self::new(len);
        }
        self.as_mut().get_mut(..len).unwrap_or_default()
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.skipped..)
            .and_then(|bytes| bytes.get_mut(..self.len))
            .unwrap_or_default()
    }
}

pub(crate) fn read_full(file: &File, piece: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
