//! Where chunks are that need not travel: in files of the root, at the same path or at another one.
//!
//! What is found here is a guess from a few bytes of a chunk's name. Whoever copies it compares all of it.

use mesh_files::{Chunker, ChunkerConfig, Place};
use mesh_protocol::{
    ChunkId, FileEntry, FileTime, ManifestItem, ManifestPage, RelativePath, WHOLE_FILE_BYTES_MAX,
};
use mesh_tree::{Facts, LocalFile, Root, RootReader};

use crate::pushes::manifest_file::ManifestFile;

/// Chunks of an old file that are remembered: 16 MiB of them.
const CUT_MAX: usize = 1 << 20;
/// Chunks of earlier pushes that are remembered, 24 bytes each, and bytes of their files' paths.
const EARLIER_MAX: usize = 256 << 10;
const PATHS_BYTES_MAX: usize = 4 << 20;
/// How much of an old file is read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// An old file this many times as large as the new one is not read for what they may have in common.
const OLD_TIMES_MAX: u64 = 4;

/// The manifest of an earlier push into the same root.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) destination: RelativePath,
    pub(super) pages: ManifestFile,
}

/// Where a chunk may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: RelativePath,
    pub(super) offset: u64,
}

/// Looks for chunks in the root.
#[derive(Debug)]
pub(super) struct Sources {
    root: RootReader,
    earlier: Vec<Earlier>,
    /// What earlier pushes brought: made when it is first asked for.
    brought: Option<Brought>,
    /// What the file holds that the last entry replaces.
    cut: Option<Cut>,
    open: Option<(RelativePath, LocalFile)>,
}

#[derive(Debug, Default)]
struct Brought {
    paths: Vec<RelativePath>,
    paths_bytes: usize,
    /// First bytes of names, which path, where: sorted.
    chunks: Vec<(u64, u32, u64)>,
    /// Large files all of whose chunks are remembered: which path, size, time.
    whole: Vec<(u32, u64, FileTime)>,
    /// The file that chunks are added for: its path, and where the next one starts.
    open: Option<(u32, u64)>,
}

#[derive(Debug)]
struct Cut {
    entry: u64,
    /// First bytes of names, where: sorted.
    chunks: Vec<(u64, u64)>,
}

impl Sources {
    pub(super) fn new(root: Root, earlier: Vec<Earlier>) -> Self {
        Self { root: root.reader(), earlier, brought: None, cut: None, open: None }
    }

    /// A page of an earlier push.
    pub(super) fn page(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.earlier.iter().find_map(|one| one.pages.read(one.pages.find(id)?).ok())
    }

    /// Where the bytes of a chunk may be.
    pub(super) fn find(&mut self, file: &FileEntry, place: &Place) -> Option<Source> {
        let name = first_bytes(&place.chunk.id);
        let brought = self.brought.get_or_insert_with(|| Brought::of(&self.earlier));
        if let Some(source) = brought.find(name) {
            return Some(source);
        }
        if file.bytes <= WHOLE_FILE_BYTES_MAX {
            return None;
        }
        if self.cut.as_ref().is_none_or(|cut| cut.entry != place.entry) {
            let chunks = self.cut_old(file);
            self.cut = Some(Cut { entry: place.entry, chunks });
        }
        let chunks = &self.cut.as_ref()?.chunks;
        let at = chunks.partition_point(|(other, _)| *other < name);
        let (_, offset) = chunks.get(at).filter(|(other, _)| *other == name)?;
        Some(Source { path: file.path.clone(), offset: *offset })
    }

    /// Opens a file of the root; the last one stays open. None when it is gone.
    pub(super) fn open(&mut self, path: &RelativePath) -> Option<&LocalFile> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.clone(), self.root.file(path).ok()?));
        }
        self.open.as_ref().map(|(_, file)| file)
    }

    /// As [`Sources::open`], for somebody who gives it back.
    pub(super) fn take(&mut self, path: &RelativePath) -> Option<(RelativePath, LocalFile)> {
        self.open(path)?;
        self.open.take()
    }

    /// Takes back what is still of use.
    pub(super) fn keep(&mut self, path: RelativePath, file: LocalFile) {
        self.open = Some((path, file));
    }

    /// Cuts what stands where `file` is to stand as `file` is cut.
    fn cut_old(&mut self, file: &FileEntry) -> Vec<(u64, u64)> {
        let mut chunks = Vec::new();
        let Some((path, old)) = self.take(&file.path) else { return chunks };
        let size = old.facts().size;
        // What an earlier push left as it is has no chunks but those that its manifest names.
        let is_known = self.brought.as_ref().is_some_and(|brought| {
            brought.knows(&file.path, old.facts())
                && ChunkerConfig::for_size(size) == ChunkerConfig::for_size(file.bytes)
        });
        if is_known || size > file.bytes.saturating_mul(OLD_TIMES_MAX) {
            self.keep(path, old);
            return chunks;
        }
        let mut chunker = Chunker::new(file.bytes);
        let mut piece = vec![0; PIECE_BYTES];
        let mut offset = 0;
        // What cannot be read any more is not there any more.
        while let Ok(read) = old.read_at(&mut piece, offset) {
            if read == 0 || chunks.len() >= CUT_MAX {
                break;
            }
            let piece = piece.get(..read).unwrap_or_default();
            chunker.feed(piece, |found, _| {
                chunks.push((first_bytes(&found.chunk.id), found.offset));
            });
            offset += read as u64;
        }
        chunker.finish(|found, _| chunks.push((first_bytes(&found.chunk.id), found.offset)));
        chunks.sort_unstable();
        self.keep(path, old);
        chunks
    }
}

impl Brought {
    fn of(earlier: &[Earlier]) -> Self {
        let mut brought = Self::default();
        for one in earlier {
            brought.open = None;
            for number in 0..one.pages.len() {
                let Ok(bytes) = one.pages.read(number) else { break };
                let Ok(page) = ManifestPage::decode(&bytes) else { break };
                for item in page.items {
                    brought.take(&one.destination, item);
                }
            }
        }
        brought.chunks.sort_unstable();
        brought
    }

    fn take(&mut self, destination: &RelativePath, item: ManifestItem) {
        match item {
            ManifestItem::Whole(file, digests) => {
                self.begin(destination, &file);
                self.add(&ChunkId::from_bytes(digests.blake3), 0);
            }
            ManifestItem::File(file) => self.begin(destination, &file),
            ManifestItem::Chunks(chunks) => {
                for chunk in chunks {
                    self.add(&chunk.id, chunk.bytes);
                }
            }
            ManifestItem::FileEnd(_) | ManifestItem::Folder(_) | ManifestItem::Link(_) => {}
        }
    }

    /// Whether all chunks of the file at `path` are known, if it is still as it was brought.
    fn knows(&self, path: &RelativePath, facts: &Facts) -> bool {
        self.chunks.len() < EARLIER_MAX
            && self.whole.iter().any(|(number, bytes, modified)| {
                let of = usize::try_from(*number).ok().and_then(|at| self.paths.get(at));
                (*bytes, *modified) == (facts.size, facts.modified) && of == Some(path)
            })
    }

    /// Begins a file, unless there is no room for more.
    fn begin(&mut self, destination: &RelativePath, file: &FileEntry) {
        self.open = None;
        let is_full = self.chunks.len() >= EARLIER_MAX || self.paths_bytes >= PATHS_BYTES_MAX;
        let number = u32::try_from(self.paths.len()).ok().filter(|_| !is_full);
        let path = destination.join(&file.path).ok();
        if let Some((number, path)) = number.zip(path) {
            self.paths_bytes += path.as_bytes().len();
            self.paths.push(path);
            if file.bytes > WHOLE_FILE_BYTES_MAX {
                self.whole.push((number, file.bytes, file.modified));
            }
            self.open = Some((number, 0));
        }
    }

    /// Adds the next chunk of the open file.
    fn add(&mut self, id: &ChunkId, bytes: u32) {
        if let Some((path, offset)) = &mut self.open
            && self.chunks.len() < EARLIER_MAX
        {
            self.chunks.push((first_bytes(id), *path, *offset));
            *offset += u64::from(bytes);
        }
    }

    fn find(&self, name: u64) -> Option<Source> {
        let at = self.chunks.partition_point(|(other, _, _)| *other < name);
        let (_, path, offset) = self.chunks.get(at).filter(|(other, _, _)| *other == name)?;
        let path = self.paths.get(usize::try_from(*path).ok()?)?.clone();
        Some(Source { path, offset: *offset })
    }
}

fn first_bytes(id: &ChunkId) -> u64 {
    let first = id.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
