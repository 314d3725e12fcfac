//! Where a push is put together: a folder of the root's own, in which files have numbers for names.
//!
//! What was verified is noted in a log beside them, so that whoever comes back after a kill goes on where
//! it stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_protocol::{FileEntry, PushId};

use crate::folder::Folder;
use crate::local::Piece;
use crate::path::{name_of, push_of};
use crate::{LocalFile, Root, TreeError};

mod file;
mod log;
mod ranges;
mod view;

pub use file::{Followed, Space, StagedFile};
pub(crate) use file::{new_mode, set_mode, times};
use log::Log;
use ranges::Ranges;
pub use view::View;

const ITEMS: &[u8] = b"items";
/// What a test looks at: it holds nothing but second names, and what the test itself writes.
pub(crate) const VIEW: &[u8] = b"view";

/// What is being put together for one push. Cheap to clone.
///
/// Every call blocks. It stays on disk until the push is committed or [`discard`](Self::discard) is called.
#[derive(Clone)]
pub struct Staging(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) root: Root,
    pub(crate) push: PushId,
    pub(crate) folder: Folder,
    pub(crate) items: Folder,
    /// Whether nothing was staged when it was opened.
    is_fresh: bool,
    state: Mutex<State>,
    /// What copies pass through: made for each of them, it would cost as much as copying.
    scratch: Mutex<Piece>,
}

/// What is known of the files: a number is in one of them at most.
struct State {
    log: Log,
    finished: Ranges,
    begun: BTreeMap<u64, Ranges>,
    /// How many ranges `begun` holds.
    ranges: usize,
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("push", &self.0.push).finish_non_exhaustive()
    }
}

const fn committed(push: PushId) -> TreeError {
    TreeError::Push { push, problem: "was committed already" }
}

impl Staging {
    /// Opens the staging of `push`, or makes it.
    ///
    /// Of what a former process wrote, that counts as verified which it had noted: all of it when the
    /// machine has run ever since, else what was [synced](Self::sync).
    ///
    /// # Errors
    /// [`TreeError::Push`] when that push was committed; otherwise the system's.
    pub fn open(root: &Root, push: PushId) -> Result<Self, TreeError> {
        let name = name_of(push);
        let at = TreeError::at(&name);
        if Self::is_committed(root, push)? {
            return Err(committed(push));
        }
        let folder = root.0.staging.own_folder(&name).map_err(&at)?;
        let items = folder.own_folder(ITEMS).map_err(&at)?;
        let log = Log::open(&folder)?;
        let mut notes = Vec::new();
        let mut state =
            State { log, finished: Ranges::default(), begun: BTreeMap::new(), ranges: 0 };
        let mut from = 0;
        while state.log.believed(from, &mut notes)? {
            from += notes.len() as u64;
            notes.drain(..).flatten().for_each(|note| state.take(note));
        }
        state.log.begin()?;
        let is_fresh = items.is_empty().map_err(&at)?;
        let state = Mutex::new(state);
        let (root, scratch) = (root.clone(), Mutex::default());
        let inner = Inner { root, push, folder, items, is_fresh, state, scratch };
        Ok(Self(Arc::new(inner)))
    }

    /// Tells whether `push` is in place, or was decided to be: nothing can be staged for it any more. It is
    /// so as long as a backup of what it replaced is kept.
    ///
    /// # Errors
    /// The system's.
    pub fn is_committed(root: &Root, push: PushId) -> Result<bool, TreeError> {
        let name = name_of(push);
        let at = TreeError::at(&name);
        Ok(root.0.backups.has(&name).map_err(&at)? || root.0.journal.has(&name).map_err(&at)?)
    }

    /// Returns the pushes that something is staged for.
    ///
    /// # Errors
    /// The system's.
    pub fn list(root: &Root) -> Result<Vec<PushId>, TreeError> {
        let at = TreeError::at(crate::root::STAGING);
        let mut pushes = Vec::new();
        for name in root.0.staging.names().map_err(&at)? {
            pushes.extend(push_of(&name.map_err(&at)?));
        }
        pushes.sort_unstable();
        Ok(pushes)
    }

    /// Returns which push it is for.
    #[must_use]
    pub fn push(&self) -> PushId {
        self.0.push
    }

    /// Tells whether the file with that number is finished.
    #[must_use]
    pub fn is_finished(&self, number: u64) -> bool {
        self.state().finished.holds(number..number.saturating_add(1))
    }

    /// Makes everything that was written survive a loss of power, with the notes of what was verified.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> Result<(), TreeError> {
        // Notes that are made meanwhile are about bytes that may not be synced: their place is behind.
        let end = self.state().log.end();
        let at = TreeError::at(ITEMS);
        self.0.items.sync_all().map_err(&at)?;
        let log = self.state().log.mark_durable(end)?;
        // Others note meanwhile what they verified.
        log.sync_data().map_err(log::io)
    }

    /// Removes all that is staged for `push`, if anything is. Takes no room: it is what frees some on a full disk.
    ///
    /// # Errors
    /// [`TreeError::Push`] when that push was committed; otherwise the system's: the rest is removed when the root is
    /// opened the next time.
    pub fn discard(root: &Root, push: PushId) -> Result<(), TreeError> {
        if Self::is_committed(root, push)? {
            return Err(committed(push));
        }
        root.discard(&root.0.staging, &name_of(push))
    }

    /// Opens the staged file with that number for reading, finished or not: what of it is verified may be
    /// passed on.
    ///
    /// # Errors
    /// The system's.
    pub fn open_file(&self, number: u64, entry: &FileEntry) -> Result<LocalFile, TreeError> {
        let name = number.to_string().into_bytes();
        LocalFile::open_called(&self.0.items, &name, entry.path.as_bytes())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_scratch(&self) -> Piece {
        let mut scratch = self.0.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *scratch)
    }

    fn keep_scratch(&self, piece: Piece) {
        *self.0.scratch.lock().unwrap_or_else(PoisonError::into_inner) = piece;
    }

    fn note(&self, note: Note) -> Result<(), TreeError> {
        let mut state = self.state();
        state.log.note(note)?;
        state.take(note);
        Ok(())
    }

    /// Takes in a note that a process which is killed may lose.
    fn remember(&self, note: Note) {
        self.state().take(note);
    }

    fn is_verified(&self, number: u64, range: Range<u64>) -> bool {
        let state = self.state();
        state.begun.get(&number).is_some_and(|ranges| ranges.holds(range))
    }

    fn next_missing(&self, number: u64, within: Range<u64>) -> Option<Range<u64>> {
        match self.state().begun.get(&number) {
            Some(ranges) => ranges.next_gap(within),
            None => Some(within).filter(|range| !range.is_empty()),
        }
    }
}

impl State {
    fn take(&mut self, note: Note) {
        let begun = self.begun.remove(&note.number).unwrap_or_default();
        self.ranges = self.ranges.saturating_sub(begun.len());
        match note.what {
            Noted::Forgotten => self.finished.remove(note.number),
            Noted::Finished => self.finished.add(note.number..note.number.saturating_add(1)),
            Noted::Verified { start, end } => {
                let mut begun = begun;
                // What is not remembered is missing: it is sent again, which is harmless.
                if self.ranges + begun.len() < ranges::RANGES_MAX {
                    begun.add(start..end);
                }
                self.ranges += begun.len();
                self.begun.insert(note.number, begun);
            }
        }
    }
}

/// The name of a view within the folder of all stagings.
fn view_name(push: PushId) -> Vec<u8> {
    [&name_of(push), VIEW].join(&b'/')
}

/// What became known of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    number: u64,
    what: Noted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// Nothing of it counts any more.
    Forgotten,
    /// These bytes are on disk, and right.
    Verified { start: u64, end: u64 },
    /// All of it is.
    Finished,
}
