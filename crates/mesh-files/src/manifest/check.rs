use std::collections::BTreeSet;

use mesh_protocol::{CHUNK_BYTES_MIN, ChunkRef, LinkEntry, ManifestItem, PushTotals, RelativePath};

use super::{ManifestError, own_chunks, stays};
use crate::fold::fold;

/// Most names that are compared with each other: those of a folder and of the folders around it.
pub(super) const NAMES_MAX: usize = 1 << 20;

/// The file whose chunks are being told.
#[derive(Debug)]
struct OpenFile {
    path: RelativePath,
    left: u64,
    /// A chunk came that only the last one may be.
    is_last: bool,
}

/// Follows a manifest from its beginning. Keeps one path, and of names a digest each while they are compared.
#[derive(Debug)]
pub(super) struct Follower {
    destination: RelativePath,
    last: RelativePath,
    /// The folder of the last entry, or that itself. It and all around it are entries.
    open: RelativePath,
    file: Option<OpenFile>,
    /// By depth, digests of the folded names of each open folder; none when names are not folded.
    names: Option<Vec<BTreeSet<u64>>>,
    pub(super) totals: PushTotals,
}

impl Follower {
    pub(super) fn new(destination: RelativePath, folds_names: bool) -> Self {
        Self {
            destination,
            last: RelativePath::ROOT,
            open: RelativePath::ROOT,
            file: None,
            names: folds_names.then(Vec::new),
            totals: PushTotals::default(),
        }
    }

    pub(super) fn follow(&mut self, item: &ManifestItem) -> Result<(), ManifestError> {
        match item {
            ManifestItem::Chunks(chunks) => {
                chunks.iter().try_for_each(|chunk| self.chunk(chunk))?
            }
            ManifestItem::FileEnd(_) => {
                let file = self.file.take().ok_or(ManifestError::NoFile)?;
                if file.left > 0 {
                    return Err(ManifestError::Chunks(file.path));
                }
            }
            ManifestItem::Folder(folder) => self.entry(&folder.path, true)?,
            ManifestItem::Link(link) => self.link(link)?,
            ManifestItem::Whole(file, _) => {
                self.entry(&file.path, false)?;
                self.count_file(file.bytes);
            }
            ManifestItem::File(file) => {
                self.entry(&file.path, false)?;
                self.count_file(file.bytes);
                let (path, left) = (file.path.clone(), file.bytes);
                self.file = Some(OpenFile { path, left, is_last: false });
            }
        }
        self.totals.chunks = self.totals.chunks.saturating_add(own_chunks(item));
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn finish(&self) -> Result<(), ManifestError> {
        let unfinished = |file: &OpenFile| Err(ManifestError::Unfinished(file.path.clone()));
        self.file.as_ref().map_or(Ok(()), unfinished)
    }

    const fn count_file(&mut self, bytes: u64) {
        self.totals.files = self.totals.files.saturating_add(1);
        self.totals.bytes = self.totals.bytes.saturating_add(bytes);
    }

    fn chunk(&mut self, chunk: &ChunkRef) -> Result<(), ManifestError> {
        let file = self.file.as_mut().ok_or(ManifestError::NoFile)?;
        let left = file.left.checked_sub(u64::from(chunk.bytes));
        match left.filter(|_| !file.is_last && chunk.bytes > 0) {
            Some(left) => file.left = left,
            None => return Err(ManifestError::Chunks(file.path.clone())),
        }
        file.is_last = chunk.bytes < CHUNK_BYTES_MIN;
        Ok(())
    }

    fn link(&mut self, link: &LinkEntry) -> Result<(), ManifestError> {
        self.entry(&link.path, false)?;
        let depth = self.destination.depth() + self.open.depth();
        if stays(&link.target, depth) {
            Ok(())
        } else {
            Err(ManifestError::LinkLeaves(link.path.clone()))
        }
    }

    fn entry(&mut self, path: &RelativePath, is_folder: bool) -> Result<(), ManifestError> {
        self.finish()?;
        let Some(parent) = path.parent().filter(|_| *path > self.last) else {
            return Err(ManifestError::Order(path.clone()));
        };
        if !self.open.starts_with(&parent) {
            return Err(ManifestError::NoFolder(path.clone()));
        }
        if self.destination.join(path).is_err() {
            return Err(ManifestError::PathTooLong(path.clone()));
        }
        self.compare_name(path, parent.depth())?;
        self.open = if is_folder { path.clone() } else { parent };
        self.last = path.clone();
        self.totals.entries = self.totals.entries.saturating_add(1);
        Ok(())
    }

    fn compare_name(&mut self, path: &RelativePath, depth: usize) -> Result<(), ManifestError> {
        let (Some(names), Some(name)) = (&mut self.names, path.name()) else { return Ok(()) };
        names.truncate(depth + 1);
        names.resize_with(depth + 1, BTreeSet::new);
        if names.iter().map(BTreeSet::len).sum::<usize>() >= NAMES_MAX {
            return Err(ManifestError::TooManyNames(path.clone()));
        }
        let digest = blake3::hash(&fold(name));
        let digest = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let is_new = names.last_mut().is_some_and(|folder| folder.insert(digest));
        if is_new { Ok(()) } else { Err(ManifestError::NamesClash(path.clone())) }
    }
}
