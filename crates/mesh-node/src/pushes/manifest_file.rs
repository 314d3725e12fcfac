//! The pages of a manifest, in one file.
//!
//! Each page stands behind its length and name. Pages are only ever added, so that a process which stops in between leaves a
//! torn end at most, and that is cut off. A page is compared with its name whenever it is read: what a loss of power left
//! of one that was not synced is never taken for it. Every call blocks.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mesh_files::page_id;
use mesh_protocol::{ChunkId, PAGE_BYTES_MAX, PushId};

/// Length and name.
const HEAD_BYTES: usize = 4 + 32;

/// Where a page is.
#[derive(Clone, Copy, Debug)]
struct At {
    id: ChunkId,
    offset: u64,
    bytes: usize,
}

/// The pages of one push, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    file: File,
    pages: Vec<At>,
    by_id: BTreeMap<ChunkId, usize>,
    end: u64,
}

impl ManifestFile {
    /// Where the pages of a push are.
    pub(crate) fn path(data_dir: &Path, push_id: PushId) -> PathBuf {
        data_dir.join("pushes").join(format!("{push_id}.pages"))
    }

    /// Starts without a page, whatever was there.
    pub(crate) fn create(data_dir: &Path, push_id: PushId) -> io::Result<Self> {
        let this = Self::open_or_create(data_dir, push_id)?;
        this.file.set_len(0)?;
        Ok(Self { pages: Vec::new(), by_id: BTreeMap::new(), end: 0, ..this })
    }

    /// Goes on with the pages that are there, if there are any.
    pub(crate) fn open_or_create(data_dir: &Path, push_id: PushId) -> io::Result<Self> {
        let path = Self::path(data_dir, push_id);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Self::read_from(&path, OpenOptions::new().create(true).truncate(false).mode(0o600))
    }

    /// Opens the pages that are there.
    ///
    /// # Errors
    /// `NotFound` when nothing was ever kept of this push, or the push was pruned.
    pub(crate) fn open(data_dir: &Path, push_id: PushId) -> io::Result<Self> {
        Self::read_from(&Self::path(data_dir, push_id), &mut OpenOptions::new())
    }

    /// Forgets the pages of a push. Nothing happens when there are none.
    pub(crate) fn remove(data_dir: &Path, push_id: PushId) -> io::Result<()> {
        match std::fs::remove_file(Self::path(data_dir, push_id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn read_from(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        let file = options.read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut this = Self { file, pages: Vec::new(), by_id: BTreeMap::new(), end: 0 };
        while let Some(at) = this.next_in(size)? {
            this.note(at);
        }
        // Only the last one can be torn by a process that stopped.
        while let Some(last) = this.len().checked_sub(1) {
            if this.read(last).is_ok() {
                break;
            }
            this.forget_last();
        }
        if this.end < size {
            this.file.set_len(this.end)?;
        }
        Ok(this)
    }

    /// The page behind those that are known, if it is there whole.
    fn next_in(&self, size: u64) -> io::Result<Option<At>> {
        let mut head = [0; HEAD_BYTES];
        if size.saturating_sub(self.end) < HEAD_BYTES as u64 {
            return Ok(None);
        }
        self.file.read_exact_at(&mut head, self.end)?;
        let [l0, l1, l2, l3, id @ ..] = head;
        let bytes = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let offset = self.end + HEAD_BYTES as u64;
        let is_whole = (1..=PAGE_BYTES_MAX).contains(&bytes) && offset + bytes as u64 <= size;
        Ok(is_whole.then(|| At { id: ChunkId::from_bytes(id), offset, bytes }))
    }

    fn note(&mut self, at: At) {
        self.by_id.entry(at.id).or_insert(self.pages.len());
        self.end = at.offset + at.bytes as u64;
        self.pages.push(at);
    }

    fn forget_last(&mut self) {
        let Some(last) = self.pages.pop() else { return };
        if self.by_id.get(&last.id) == Some(&self.pages.len()) {
            self.by_id.remove(&last.id);
        }
        self.end = last.offset - HEAD_BYTES as u64;
    }

    /// Adds a page, which the caller has compared with its name. It is durable after [`ManifestFile::sync`].
    pub(crate) fn append(&mut self, id: ChunkId, page: &[u8]) -> io::Result<()> {
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "a page of no size");
        let bytes = u32::try_from(page.len()).map_err(|_| too_large())?;
        if !(1..=PAGE_BYTES_MAX).contains(&page.len()) {
            return Err(too_large());
        }
        let record = [&bytes.to_le_bytes()[..], id.as_bytes(), page].concat();
        self.file.write_all_at(&record, self.end)?;
        self.note(At { id, offset: self.end + HEAD_BYTES as u64, bytes: page.len() });
        Ok(())
    }

    /// Makes what was added durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// How many pages there are.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The pages' names, in order.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = ChunkId> {
        self.pages.iter().map(|at| at.id)
    }

    /// Which page has this name; the first one, if there are several.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Reads a page.
    ///
    /// # Errors
    /// `NotFound` for a page that is not there, `InvalidData` for one that is not what its name says.
    pub(crate) fn read(&self, number: usize) -> io::Result<Vec<u8>> {
        let at = self.pages.get(number).ok_or(io::ErrorKind::NotFound)?;
        let mut page = vec![0; at.bytes];
        self.file.read_exact_at(&mut page, at.offset)?;
        if page_id(&page) == at.id { Ok(page) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests;
