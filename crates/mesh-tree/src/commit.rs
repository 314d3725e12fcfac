//! Putting a push in place: everything together or not at all.
//!
//! First all renames are listed, with what each of them expects to find ([`Plan`]). Then the staged files
//! and the list are synced and the list is moved into the journal: from there on the push is decided.
//! Each file then changes places with what it replaces, which goes to the push's backup; a file that is
//! not as listed undoes everything that was done. When all is in place and synced, the list moves on to
//! the backup, where it says how to bring back what was.
//!
//! Every record says by itself whether it was carried out, by where the item lies that it is about, so the
//! list can be taken up again wherever a process or the machine stopped, forwards or backwards.

use std::fmt;
use std::fs::File;
use std::sync::PoisonError;

use mesh_protocol::{FileEntry, FileTime, FolderEntry, LinkEntry, PushId, RelativePath};
use rustix::fs::{Gid, OFlags, Uid};
use rustix::io::Errno;

use crate::facts::is_as_given;
use crate::folder::{Folder, PRIVATE};
use crate::path::{name_of, shown, split, stays_inside};
use crate::staging::{new_mode, set_mode};
use crate::{Facts, Kind, Refusal, Root, Staging, TreeError, Usage};

pub(crate) mod journal;
mod recover;
mod run;
mod undo;

use journal::{Header, Item, Journal, Record, What, Writer};
pub use recover::Recovered;
use run::Runner;
pub(crate) use run::look;

/// The name of a list that nobody has decided upon.
pub(crate) const PLAN: &[u8] = b"plan";
pub(crate) const ITEMS: &[u8] = b"items";

/// A change on disk that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which record of the list it belongs to.
    pub record: u64,
    /// How many there are.
    pub records: u64,
}

/// The list of what a push changes, while it is made.
///
/// Entries come in the order of their paths, each once; folders that are missing on the way are added.
/// Nothing in the root changes.
pub struct Plan {
    staging: Staging,
    writer: Writer,
    last: Option<RelativePath>,
    /// The last one that was listed, given or added, and what leads to it, outermost first, itself too.
    at: Vec<u8>,
    way: Vec<Passed>,
    folder: Option<(Vec<u8>, Folder)>,
}

/// Something that was listed, and that others may lie in.
struct Passed {
    bytes: usize,
    is_folder: bool,
    is_new: bool,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("records", &self.writer.count()).finish_non_exhaustive()
    }
}

impl Plan {
    /// Begins the list of what is in `staging`, to be committed at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(staging: &Staging, now: i64) -> Result<Self, TreeError> {
        let header = Header { push: staging.push(), from: None, at: now };
        let writer = Writer::new(draft(&staging.0.folder)?, header)?;
        let (at, way) = (Vec::new(), Vec::new());
        Ok(Self { staging: staging.clone(), writer, last: None, at, way, folder: None })
    }

    /// Adds the staged file with that number.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when it cannot stand there, [`TreeError::Mismatch`] when it is not staged, or
    /// somebody touched it there.
    pub fn file(&mut self, number: u64, entry: &FileEntry) -> Result<(), TreeError> {
        let old = self.come_to(&entry.path)?;
        let at = TreeError::at(entry.path.as_bytes());
        let item = Item::Numbered(number);
        let items = &self.staging.0.items;
        let staged = items.look(&item.name()).map_err(&at)?;
        let is_ready = self.staging.is_finished(number)
            && staged.is_some_and(|staged| {
                staged.size == entry.bytes && is_as_given(staged.modified, entry.modified)
            });
        if !is_ready {
            return Err(TreeError::Mismatch { path: shown(entry.path.as_bytes()) });
        }
        let facts = match (old.filter(|old| old.kind == Kind::File), staged) {
            (None, Some(staged)) => staged,
            (Some(old), Some(staged)) => {
                self.be_like(&item.name(), &old, &staged, entry).map_err(&at)?;
                self.staging.0.items.facts(&item.name()).map_err(&at)?
            }
            (_, None) => self.staging.0.items.facts(&item.name()).map_err(&at)?,
        };
        self.pass(entry.path.as_bytes(), false, true);
        self.add(entry.path.as_bytes(), What::Put { item, facts }, old, None)
    }

    /// Adds a folder. One that stands there already stays, with its mode and what is in it.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when it cannot stand there.
    pub fn folder(&mut self, entry: &FolderEntry) -> Result<(), TreeError> {
        let old = self.come_to(&entry.path)?;
        let mode = self.staging.0.root.0.config.folder_mode;
        let mode = if entry.is_listable { mode } else { mode & 0o700 };
        self.add_folder(entry.path.as_bytes(), old, mode, Some(entry.modified))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when it cannot stand there, or leads out of the root.
    pub fn link(&mut self, entry: &LinkEntry) -> Result<(), TreeError> {
        let path = entry.path.as_bytes();
        if !stays_inside(&entry.path, &entry.target) {
            return Err(TreeError::refused(path, Refusal::LinkLeaves));
        }
        let old = self.come_to(&entry.path)?;
        self.staging.0.root.reserve(path, Usage { bytes: 0, files: 1 })?;
        let at = TreeError::at(path);
        let item = Item::Made(self.writer.count());
        let items = &self.staging.0.items;
        items.remove(&item.name()).map_err(&at)?;
        rustix::fs::symlinkat(entry.target.as_slice(), items, item.name()).map_err(&at)?;
        let facts = items.facts(&item.name()).map_err(&at)?;
        self.pass(entry.path.as_bytes(), false, true);
        self.add(entry.path.as_bytes(), What::Put { item, facts }, old, None)
    }

    /// Ends the list.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self) -> Result<Planned, TreeError> {
        self.writer.finish()?;
        Ok(Planned { root: self.staging.0.root.clone(), push: self.staging.push() })
    }

    /// Adds the folders that lead to `path`, and returns what stands there.
    fn come_to(&mut self, path: &RelativePath) -> Result<Option<Facts>, TreeError> {
        self.staging.0.root.allow(path)?;
        if self.last.as_ref().is_some_and(|last| last >= path) {
            return Err(TreeError::Order { path: path.to_string() });
        }
        self.last = Some(path.clone());
        let bytes = path.as_bytes();
        while let Some(passed) = self.way.last() {
            let is_on_way = bytes.get(passed.bytes) == Some(&b'/')
                && bytes.get(..passed.bytes) == self.at.get(..passed.bytes);
            if is_on_way {
                break;
            }
            self.way.pop();
        }
        let known = self.way.last().map_or(0, |passed| passed.bytes + 1);
        let slashes = bytes.iter().enumerate().skip(known).filter(|(_, byte)| **byte == b'/');
        for (end, _) in slashes {
            let folder = bytes.get(..end).unwrap_or_default();
            match self.look(folder)? {
                Some(Facts { kind: Kind::Link, .. }) => {
                    return Err(TreeError::refused(folder, Refusal::Link));
                }
                Some(Facts { kind: Kind::File, .. }) => {
                    return Err(TreeError::refused(folder, Refusal::NotAFolder));
                }
                old => {
                    let mode = self.staging.0.root.0.config.folder_mode;
                    self.add_folder(folder, old, mode, None)?;
                }
            }
        }
        self.look(bytes)
    }

    /// Returns what stands at `path`, the way to which was listed, and refuses what nothing may replace.
    fn look(&mut self, path: &[u8]) -> Result<Option<Facts>, TreeError> {
        match self.way.last() {
            Some(passed) if !passed.is_folder => {
                return Err(TreeError::refused(path, Refusal::NotAFolder));
            }
            Some(passed) if passed.is_new => return Ok(None),
            _ => {}
        }
        let at = TreeError::at(path);
        let (folder, name) = split(path);
        let root = self.staging.0.root.clone();
        let folder = self.open(folder).map_err(&at)?;
        let Some(old) = folder.look(name).map_err(&at)? else { return Ok(None) };
        if old.kind.is_special() {
            return Err(TreeError::refused(path, Refusal::Special(old.kind)));
        }
        if old.device != folder.own_facts().map_err(&at)?.device {
            return Err(TreeError::refused(path, Refusal::OtherFileSystem));
        }
        root.check_name(folder, path)?;
        Ok(Some(old))
    }

    fn add_folder(
        &mut self,
        path: &[u8],
        old: Option<Facts>,
        mode: u32,
        folder_time: Option<FileTime>,
    ) -> Result<(), TreeError> {
        if old.is_some_and(|old| old.kind == Kind::Folder) {
            self.pass(path, true, false);
            return self.add(path, What::Keep, old, folder_time);
        }
        self.staging.0.root.reserve(path, Usage { bytes: 0, files: 1 })?;
        let at = TreeError::at(path);
        let item = Item::Made(self.writer.count());
        let items = &self.staging.0.items;
        items.remove(&item.name()).map_err(&at)?;
        items.make(&item.name(), PRIVATE).map_err(&at)?;
        let folder = items.folder(&item.name()).map_err(&at)?;
        set_mode(&folder, mode & 0o777).map_err(&at)?;
        let facts = folder.own_facts().map_err(&at)?;
        self.pass(path, true, true);
        self.add(path, What::Put { item, facts }, old, folder_time)
    }

    fn pass(&mut self, path: &[u8], is_folder: bool, is_new: bool) {
        self.at = path.to_vec();
        self.way.push(Passed { bytes: path.len(), is_folder, is_new });
    }

    fn add(
        &mut self,
        path: &[u8],
        what: What,
        old: Option<Facts>,
        folder_time: Option<FileTime>,
    ) -> Result<(), TreeError> {
        self.writer.add(&Record { path: path.to_vec(), what, old, folder_time })
    }

    /// Gives a staged file the owner of what it replaces, as far as the system lets us, and lets nobody
    /// read it who could not read that.
    fn be_like(
        &self,
        item: &[u8],
        old: &Facts,
        staged: &Facts,
        entry: &FileEntry,
    ) -> Result<(), Errno> {
        let mut mode = new_mode(old.mode, entry.is_executable);
        let is_same_owner = (old.owner, old.group) == (staged.owner, staged.group);
        if is_same_owner && mode == staged.mode {
            return Ok(());
        }
        let file = self.staging.0.items.own_file(item, OFlags::empty())?;
        if !is_same_owner {
            let (owner, group) = (Uid::from_raw(old.owner), Gid::from_raw(old.group));
            let is_given = rustix::fs::fchown(&file, Some(owner), Some(group)).is_ok()
                || rustix::fs::fchown(&file, None, Some(group)).is_ok();
            if !is_given {
                // What the old group was allowed is not meant for ours.
                mode &= !0o070;
            }
        }
        set_mode(&file, mode)
    }

    fn open(&mut self, path: Option<&[u8]>) -> Result<&Folder, Errno> {
        let path = path.unwrap_or_default();
        let is_open = self.folder.as_ref().is_some_and(|(open, _)| open == path);
        if !is_open {
            let top = &self.staging.0.root.0.top;
            let folder = top.parent(Some(path).filter(|path| !path.is_empty()))?;
            self.folder = Some((path.to_vec(), folder));
        }
        self.folder.as_ref().map(|(_, folder)| folder).ok_or(Errno::NOENT)
    }
}

/// A whole list, that nobody has decided upon.
#[derive(Debug)]
pub struct Planned {
    pub(crate) root: Root,
    pub(crate) push: PushId,
}

impl Planned {
    /// Carries the list out: all of it, or nothing. `step` is told of every change on disk.
    ///
    /// Once everything is in place there is no failure: what cannot be ended then, the next commit or
    /// [`Root::recover`] ends.
    ///
    /// # Errors
    /// [`TreeError::Changed`] with the first file that is not as it was when it was listed. What could not
    /// be undone, because somebody changed it, was left as they wanted it.
    pub fn commit(self, step: &mut dyn FnMut(Step)) -> Result<(), TreeError> {
        let root = &self.root;
        let _alone = root.0.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name_of(self.push);
        let at = TreeError::at(&name);
        if !root.0.journal.is_empty().map_err(&at)? {
            root.recover_alone()?;
        }
        let staging = root.0.staging.folder(&name).map_err(&at)?;
        let journal = Journal::open(
            staging
                .file(PLAN)
                .map_err(&at)?
                .map_err(|kind| crate::root::not_a_file(&name, kind))?
                .0,
            &name,
        )?;
        let backup = root.0.backups.own_folder(&name).map_err(&at)?;
        backup.own_folder(ITEMS).map_err(&at)?;
        let mut runner = Runner::new(root, &journal, step)?;
        let decided = runner.check().and_then(|()| {
            runner.prepare_undo()?;
            root.0.top.sync_all().map_err(&at)?;
            staging.rename(PLAN, &root.0.journal, &name).map_err(&at)
        });
        if let Err(error) = decided {
            runner.forget_undo();
            root.discard(&root.0.backups, &name)?;
            return Err(error);
        }
        // It may be durable or not, so from here on it is carried out or undone, never merely dropped.
        if let Err(error) = root.0.journal.sync() {
            runner.give_up();
            return Err(at(error));
        }
        runner.step(0);
        runner.carry_out()?;
        if let Err(error) = runner.conclude() {
            tracing::error!(push = %self.push, %error, "a push is in place, but not for good yet");
        }
        Ok(())
    }
}

/// Opens a list to be written, in place of one that was begun before.
pub(crate) fn draft(staging: &Folder) -> Result<File, TreeError> {
    staging.own_file(PLAN, OFlags::CREATE | OFlags::TRUNC).map_err(TreeError::at(PLAN))
}
