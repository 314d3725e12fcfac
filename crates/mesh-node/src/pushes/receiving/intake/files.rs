//! The files that are being put together, from the page that begins one to its last chunk.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use mesh_files::{LookUp, Place, RangeSet};
use mesh_protocol::{
    ChunkRange, FileDigests, FileEntry, PushStep, RelativePath, WHOLE_FILE_BYTES_MAX,
};
use mesh_tree::{Root, RootReader, Space, StagedFile, Staging, TreeError};

use super::super::failure::Failure;
use super::super::finisher::{Complete, Finisher};
use super::super::manifest::{beneath, looks_same};
use super::super::sources::{Source, Sources};
use super::super::work::Task;
use super::standing::{Standing, compare_each};

/// Staged files that stay open: chunks come about in order.
const OPEN_MAX: usize = 16;
/// Bytes of paths of files that are open; a page has at most 256 KiB of them.
const PATHS_BYTES_MAX: usize = 4 << 20;
/// How much is copied at a time where nothing else can.
const PIECE_BYTES: usize = 1 << 20;

/// Where a chunk was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Where it belongs.
    Here,
    /// In a file of the root.
    In(Source),
}

#[derive(Debug)]
struct Open {
    entry: FileEntry,
    /// Chunks that are named and not stored.
    left: u64,
    digests: Option<FileDigests>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It was compared with its digests in a former run.
    Finished,
    /// It looks like one that stands in the root. These bytes of that one are right.
    InPlace(RangeSet),
    /// It stands in the root, and was compared with its digests.
    Compared,
    /// It is put together in staging.
    Staged,
}

pub(super) struct Files<'a> {
    root: Root,
    /// Looks at what stands where the next files belong.
    looking: RootReader,
    staging: Staging,
    destination: RelativePath,
    /// Whether there may be something in staging already.
    is_resumed: bool,
    /// Whether files may stay where they are: a test wants all of them.
    may_stay: bool,
    pub(super) sources: Sources,
    open: BTreeMap<u64, Open>,
    paths_bytes: usize,
    handles: VecDeque<(u64, StagedFile)>,
    finisher: Finisher<'a>,
}

fn failed(error: TreeError) -> Failure {
    Failure::tree(PushStep::Push, &error)
}

impl<'a> Files<'a> {
    pub(super) fn new(
        task: &Task,
        root: &Root,
        staging: &Staging,
        is_resumed: bool,
        sources: Sources,
        finisher: Finisher<'a>,
    ) -> Self {
        Self {
            root: root.clone(),
            looking: root.reader(),
            staging: staging.clone(),
            destination: task.offer.destination.clone(),
            is_resumed,
            may_stay: task.offer.test.is_none(),
            sources,
            open: BTreeMap::new(),
            paths_bytes: 0,
            handles: VecDeque::new(),
            finisher,
        }
    }

    /// Whether another page may be read: the paths of many open files are kept within bounds.
    pub(super) fn has_room(&self) -> bool {
        self.paths_bytes < PATHS_BYTES_MAX
    }

    /// A file begins.
    pub(super) fn begin(&mut self, number: u64, file: &FileEntry) -> Result<(), Failure> {
        let path = beneath(&self.destination, &file.path)?;
        let entry = FileEntry { path, ..file.clone() };
        let state = if self.is_resumed && self.staging.is_finished(number) {
            State::Finished
        } else if self.may_stay && looks_same(&mut self.looking, &entry).map_err(failed)? {
            State::InPlace(RangeSet::default())
        } else {
            State::Staged
        };
        self.paths_bytes += entry.path.as_bytes().len();
        self.open.insert(number, Open { entry, left: 0, digests: None, state });
        Ok(())
    }

    /// A chunk of it is named.
    pub(super) fn count(&mut self, place: &Place) {
        if let Some(open) = self.open.get_mut(&place.entry) {
            open.left += 1;
        }
    }

    /// All its chunks were named.
    pub(super) fn ends(&mut self, number: u64, digests: FileDigests) -> Result<(), Failure> {
        if let Some(open) = self.open.get_mut(&number) {
            open.digests = Some(digests);
        }
        self.complete(number)
    }

    /// A chunk of it is stored.
    pub(super) fn stored(&mut self, place: &Place) -> Result<(), Failure> {
        if let Some(open) = self.open.get_mut(&place.entry) {
            open.left = open.left.saturating_sub(1);
            self.finisher.more(u64::from(place.chunk.bytes));
        }
        self.complete(place.entry)
    }

    /// Hands it over, if nothing of it is lacking.
    fn complete(&mut self, number: u64) -> Result<(), Failure> {
        let is_complete = |open: &Open| open.left == 0 && open.digests.is_some();
        if !self.open.get(&number).is_some_and(is_complete) {
            return Ok(());
        }
        let handle = match self.open.get(&number).map(|open| &open.state) {
            Some(State::Staged) => {
                self.handle(number)?;
                self.handles.pop_back().map(|(_, file)| file)
            }
            Some(State::Finished | State::Compared | State::InPlace(_)) | None => None,
        };
        let Some(open) = self.open.remove(&number) else { return Ok(()) };
        self.paths_bytes = self.paths_bytes.saturating_sub(open.entry.path.as_bytes().len());
        let bytes = open.entry.bytes;
        match (open.state, handle, open.digests) {
            (State::Staged, Some(file), Some(digests)) => {
                self.finisher.finish(Complete::Staged(file, digests), bytes)
            }
            (State::InPlace(_), _, Some(digests)) => {
                self.finisher.finish(Complete::InPlace(open.entry, digests), bytes)
            }
            (State::Finished | State::Compared | State::Staged | State::InPlace(_), _, _) => Ok(()),
        }
    }

    /// Looks for chunks.
    pub(super) fn look(&mut self, looks: &[LookUp]) -> Result<Vec<(u64, Option<Found>)>, Failure> {
        self.compare_standing(looks);
        looks.iter().map(|look| Ok((look.number, self.look_for(&look.place)?))).collect()
    }

    /// Compares the files that are one chunk and seem to stand where they belong. What becomes of one that is another is
    /// said chunk by chunk.
    fn compare_standing(&mut self, looks: &[LookUp]) {
        let standing = looks.iter().filter_map(|LookUp { place, .. }| {
            let open = self.open.get(&place.entry)?;
            let is_one_chunk = open.entry.bytes == u64::from(place.chunk.bytes);
            match (&open.state, open.digests) {
                (State::InPlace(_), Some(digests)) if is_one_chunk => {
                    Some(Standing { number: place.entry, entry: open.entry.clone(), digests })
                }
                _ => None,
            }
        });
        for number in compare_each(&self.root, &standing.collect::<Vec<_>>()) {
            if let Some(open) = self.open.get_mut(&number) {
                open.state = State::Compared;
            }
        }
    }

    fn look_for(&mut self, place: &Place) -> Result<Option<Found>, Failure> {
        if self.is_here(place)? {
            return Ok(Some(Found::Here));
        }
        let Some(open) = self.open.get(&place.entry) else { return Ok(None) };
        Ok(self.sources.find(&open.entry, place).map(Found::In))
    }

    /// Whether a chunk is where it belongs. A file that turns out to be another one than that in the root is
    /// staged from here on.
    fn is_here(&mut self, place: &Place) -> Result<bool, Failure> {
        let end = place.offset.saturating_add(u64::from(place.chunk.bytes));
        let Some(open) = self.open.get_mut(&place.entry) else { return Ok(false) };
        match &mut open.state {
            State::Finished | State::Compared => Ok(true),
            State::Staged if self.is_resumed => {
                Ok(self.handle(place.entry)?.is_verified(place.offset..end))
            }
            State::Staged => Ok(false),
            State::InPlace(right) => {
                let range = ChunkRange { first: place.offset, count: u64::from(place.chunk.bytes) };
                let file = self.sources.open(&open.entry.path);
                if file.is_some_and(|file| holds(file, place)) && right.insert(range) {
                    return Ok(true);
                }
                self.stage(place.entry)?;
                Ok(false)
            }
        }
    }

    /// Copies into staging what was left in place.
    fn stage(&mut self, number: u64) -> Result<(), Failure> {
        let Some(open) = self.open.get_mut(&number) else { return Ok(()) };
        let State::InPlace(right) = std::mem::replace(&mut open.state, State::Staged) else {
            return Ok(());
        };
        let entry = open.entry.clone();
        let mut piece = vec![0; PIECE_BYTES];
        for range in right.iter() {
            let mut at = range.first;
            while at < range.end() {
                let wanted = usize::try_from(range.end() - at).unwrap_or(PIECE_BYTES);
                let piece = piece.get_mut(..wanted.min(PIECE_BYTES)).unwrap_or_default();
                let file = self.root.file(&entry.path).map_err(failed)?;
                let read = file.read_at(piece, at).map_err(failed)?;
                if read < piece.len() {
                    return Err(failed(TreeError::Changed { path: entry.path.to_string() }));
                }
                self.handle(number)?.put(at, piece).map_err(failed)?;
                at += read as u64;
            }
        }
        Ok(())
    }

    /// Copies a chunk that was found. Says whether it is there.
    pub(super) fn copy(&mut self, found: &Found, to: &Place) -> Result<bool, Failure> {
        let Found::In(source) = found else { return Ok(true) };
        // The next chunk mostly comes from the same file.
        let Some((path, file)) = self.sources.take(&source.path) else { return Ok(false) };
        let copied = self.copy_from(&file, source.offset, to);
        self.sources.keep(path, file);
        copied
    }

    /// Copies a chunk from another place of the push. Says whether it is there.
    pub(super) fn copy_staged(&mut self, from: &Place, to: &Place) -> Result<bool, Failure> {
        if self.is_here(to)? {
            return Ok(true);
        }
        let file = self.open.get(&from.entry).map(|open| match open.state {
            State::Compared | State::InPlace(_) => self.root.file(&open.entry.path),
            State::Finished | State::Staged => self.staging.open_file(from.entry, &open.entry),
        });
        // Of a file that is complete nothing is remembered: the chunk is asked for once more.
        let Some(Ok(file)) = file else { return Ok(false) };
        self.copy_from(&file, from.offset, to)
    }

    fn copy_from(
        &mut self,
        file: &mesh_tree::LocalFile,
        offset: u64,
        to: &Place,
    ) -> Result<bool, Failure> {
        let (bytes, id) = (u64::from(to.chunk.bytes), to.chunk.id);
        match self.handle(to.entry)?.copy(file, offset, to.offset, bytes, id.as_bytes()) {
            Err(error @ (TreeError::Full { .. } | TreeError::Quota { .. })) => Err(failed(error)),
            // It cannot be read any more.
            Err(_) => Ok(false),
            Ok(is_right) => Ok(is_right),
        }
    }

    /// Writes a chunk that was compared with its name.
    pub(super) fn put(&mut self, place: &Place, bytes: &[u8]) -> Result<(), Failure> {
        let is_large = bytes.len() as u64 >= WHOLE_FILE_BYTES_MAX;
        let file = self.handle(place.entry)?;
        if is_large && bytes.iter().all(|byte| *byte == 0) {
            return file.put_zeros(place.offset, bytes.len() as u64).map_err(failed);
        }
        file.put(place.offset, bytes).map_err(failed)
    }

    /// The staged file, which is the last one of `handles` then.
    fn handle(&mut self, number: u64) -> Result<&StagedFile, Failure> {
        let lost = || Failure::manifest("a chunk belongs to no file");
        match self.handles.iter().position(|(open, _)| *open == number) {
            Some(at) => {
                let last = self.handles.len() - 1;
                self.handles.swap(at, last);
            }
            None => {
                let entry = &self.open.get(&number).ok_or_else(lost)?.entry;
                let space = match entry.bytes.cmp(&WHOLE_FILE_BYTES_MAX) {
                    Ordering::Less => Space::AtOnce,
                    // A chunk of so many zeros becomes a hole.
                    Ordering::Equal => Space::Sparse,
                    Ordering::Greater => Space::Allocated,
                };
                let file = self.staging.file(number, entry, space).map_err(failed)?;
                self.finisher.begun(&file, entry.bytes)?;
                if self.handles.len() >= OPEN_MAX {
                    self.handles.pop_front();
                }
                self.handles.push_back((number, file));
            }
        }
        self.handles.back().map(|(_, file)| file).ok_or_else(lost)
    }

    /// What a file is called.
    pub(super) fn name_of(&self, number: u64) -> String {
        self.open.get(&number).map(|open| open.entry.path.to_string()).unwrap_or_default()
    }

    /// Hands over the files that are complete.
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        self.finisher.hand_over()
    }

    /// Waits until every file is compared with its digests.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.finisher.end()
    }
}

/// Whether a file has a chunk where it belongs.
fn holds(file: &mesh_tree::LocalFile, place: &Place) -> bool {
    let mut bytes = vec![0; place.chunk.bytes as usize];
    let is_read = matches!(file.read_at(&mut bytes, place.offset), Ok(read) if read == bytes.len());
    is_read && blake3::hash(&bytes) == *place.chunk.id.as_bytes()
}
