//! Chunks by their numbers: looked up in the pages of the manifest, read from the files they were cut from, and
//! compared with their names before they go anywhere.

use std::collections::VecDeque;
use std::sync::Arc;

use mesh_files::{ManifestError, page_id};
use mesh_protocol::{
    ChunkId, ChunkRef, ManifestItem, ManifestPage, PushProblem, PushReason, PushStep, RelativePath,
};
use mesh_tree::{LocalFile, Source, Sources, TreeError};

use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::prepare::unread;
use crate::pushes::roots::refuses;

/// Pages whose chunks are kept at hand.
const PAGES_MAX: usize = 4;

/// Makes a problem of serving.
pub(super) fn problem(reason: PushReason, detail: impl Into<String>) -> PushProblem {
    refuses(PushStep::Push, reason, detail)
}

/// Where a chunk is.
#[derive(Clone, Debug)]
struct Place {
    path: Arc<RelativePath>,
    offset: u64,
    chunk: ChunkRef,
}

/// The file that a page begins within.
#[derive(Clone, Debug, Default)]
struct Within {
    path: Arc<RelativePath>,
    offset: u64,
}

/// Where pages begin.
#[derive(Debug)]
struct PageStart {
    chunk: u64,
    within: Within,
}

/// What a push consists of: its pages, and where in them each chunk is. Shared by the sessions with its targets.
#[derive(Debug)]
pub(super) struct Pages {
    file: ManifestFile,
    starts: Vec<PageStart>,
    chunks: u64,
}

impl Pages {
    /// Reads the pages once. What it keeps are some bytes for each.
    ///
    /// # Errors
    /// They are not those of `manifest`, or cannot be read.
    pub(super) fn open(file: ManifestFile, manifest: &[u8; 32]) -> Result<Self, PushProblem> {
        let mut digest = mesh_files::ManifestDigest::default();
        file.ids().for_each(|id| digest.add(&id));
        if digest.finish() != *manifest {
            return Err(lost("its list is not the one that was prepared"));
        }
        let mut pages = Self { file, starts: Vec::new(), chunks: 0 };
        let (mut chunk, mut within) = (0, Within::default());
        for number in 0..pages.file.len() {
            pages.starts.push(PageStart { chunk, within: within.clone() });
            for item in pages.items(number)? {
                within = follow(item, within, &mut |_| chunk += 1);
            }
        }
        pages.chunks = chunk;
        Ok(pages)
    }

    /// The pages' names.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = ChunkId> {
        self.file.ids()
    }

    /// Reads a page as it travels.
    pub(super) fn page(&self, number: u64) -> Result<Vec<u8>, PushProblem> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.file.read(number).map_err(|error| lost(format!("its list cannot be read: {error}")))
    }

    /// How many chunks there are.
    pub(super) const fn chunks(&self) -> u64 {
        self.chunks
    }

    fn items(&self, number: usize) -> Result<Vec<ManifestItem>, PushProblem> {
        let bytes = self.page(number as u64)?;
        let page = ManifestPage::decode(&bytes);
        Ok(page.map_err(|_| lost(ManifestError::Bound.to_string()))?.items)
    }

    /// The page that a chunk is on.
    fn page_of(&self, chunk: u64) -> usize {
        self.starts.partition_point(|start| start.chunk <= chunk).saturating_sub(1)
    }

    /// The chunks of a page.
    fn places(&self, number: usize) -> Result<Vec<Place>, PushProblem> {
        let mut within =
            self.starts.get(number).map(|start| start.within.clone()).unwrap_or_default();
        let mut places = Vec::new();
        for item in self.items(number)? {
            within = follow(item, within, &mut |place| places.push(place));
        }
        Ok(places)
    }
}

fn lost(detail: impl Into<String>) -> PushProblem {
    problem(PushReason::StorageError, detail)
}

/// Goes over an item, tells its chunks, and says within which file the next one begins.
fn follow(item: ManifestItem, within: Within, found: &mut impl FnMut(Place)) -> Within {
    match item {
        ManifestItem::Folder(_) | ManifestItem::Link(_) => Within::default(),
        ManifestItem::File(file) => Within { path: Arc::new(file.path), offset: 0 },
        ManifestItem::Whole(file, digests) => {
            let id = ChunkId::from_bytes(digests.blake3);
            if let Ok(bytes) = u32::try_from(file.bytes)
                && bytes > 0
            {
                let chunk = ChunkRef { id, bytes };
                found(Place { path: Arc::new(file.path), offset: 0, chunk });
            }
            Within::default()
        }
        ManifestItem::Chunks(chunks) => {
            let Within { path, mut offset } = within;
            for chunk in chunks {
                found(Place { path: Arc::clone(&path), offset, chunk });
                offset = offset.saturating_add(u64::from(chunk.bytes));
            }
            Within { path, offset }
        }
        ManifestItem::FileEnd(_) => Within::default(),
    }
}

/// Reads chunks for one session. Keeps a file open, and some pages. Every call blocks.
#[derive(Debug)]
pub(super) struct ChunkReader {
    pages: Arc<Pages>,
    sources: Sources,
    recent: VecDeque<(usize, Vec<Place>)>,
    open: Option<(Arc<RelativePath>, LocalFile)>,
}

/// A chunk that is to be read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    place: Place,
    /// Whether its file is another one than that of the chunk before.
    pub(super) is_next_file: bool,
}

impl Wanted {
    /// How many bytes it has.
    pub(super) const fn bytes(&self) -> u32 {
        self.place.chunk.bytes
    }
}

impl ChunkReader {
    pub(super) fn new(pages: Arc<Pages>, sources: Vec<Source>) -> Self {
        Self { pages, sources: Sources::new(sources), recent: VecDeque::new(), open: None }
    }

    /// Finds a chunk, and opens its file.
    ///
    /// # Errors
    /// There is no such chunk, or the file is gone or changed.
    pub(super) fn find(&mut self, number: u64) -> Result<Wanted, PushProblem> {
        if number >= self.pages.chunks() {
            return Err(problem(PushReason::ManifestInvalid, "there is no chunk of this number"));
        }
        let page = self.pages.page_of(number);
        let first = self.pages.starts.get(page).map_or(0, |start| start.chunk);
        let index = usize::try_from(number - first).unwrap_or(usize::MAX);
        let known = self.recent.iter().find(|(known, _)| *known == page);
        let place = match known {
            Some((_, places)) => places.get(index).cloned(),
            None => {
                let places = self.pages.places(page)?;
                let place = places.get(index).cloned();
                self.recent.truncate(PAGES_MAX - 1);
                self.recent.push_front((page, places));
                place
            }
        };
        let place = place.ok_or_else(|| lost("its list does not name the chunk"))?;
        let is_next_file = self.open.as_ref().is_none_or(|(path, _)| **path != *place.path);
        if is_next_file {
            let opened = self.sources.open(&place.path);
            let file = opened.map_err(|error| unserved(&place.path, &error))?;
            self.open = Some((Arc::clone(&place.path), file));
        }
        Ok(Wanted { place, is_next_file })
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> u64 {
        self.pages.chunks()
    }

    /// Fills `bytes`, which has the chunk's length, with what [`ChunkReader::find`] found last.
    ///
    /// # Errors
    /// The file is not what was prepared.
    pub(super) fn read(&self, wanted: &Wanted, bytes: &mut [u8]) -> Result<(), PushProblem> {
        let Place { path, offset, chunk } = &wanted.place;
        let Some((_, file)) = &self.open else { return Err(changed(path)) };
        let count = file.read_at(bytes, *offset).map_err(|error| unserved(path, &error))?;
        let is_same = count == bytes.len() && page_id(bytes) == chunk.id;
        if is_same { Ok(()) } else { Err(changed(path)) }
    }
}

fn changed(path: &RelativePath) -> PushProblem {
    problem(PushReason::SourceChanged, format!("{path} was changed since it was prepared"))
}

fn unserved(path: &RelativePath, error: &TreeError) -> PushProblem {
    match error {
        TreeError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            changed(path)
        }
        TreeError::Refused { .. } | TreeError::Changed { .. } => changed(path),
        TreeError::Io { .. }
        | TreeError::Mismatch { .. }
        | TreeError::Quota { .. }
        | TreeError::Full { .. }
        | TreeError::Busy { .. }
        | TreeError::Push { .. }
        | TreeError::Order { .. }
        | TreeError::Damaged { .. } => PushProblem { step: PushStep::Push, ..unread(error) },
    }
}
