//! Carrying a list out.

use mesh_protocol::PushId;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::journal::{Item, Journal, Record, What};
use super::{ITEMS, PLAN, Step};
use crate::folder::Folder;
use crate::path::{name_of, split};
use crate::staging::times;
use crate::{Facts, Kind, Root, TreeError};

/// Says that the list is being undone, and for good.
pub(super) const UNDO: &[u8] = b".undo";
/// Becomes [`UNDO`] by a rename, which a full disk does not hinder.
pub(super) const READY: &[u8] = b".keep";

/// A list on its way through.
pub(crate) struct Runner<'a> {
    pub(super) root: &'a Root,
    pub(super) journal: &'a Journal,
    pub(super) push: PushId,
    /// Where the items come from: the staging, or the backup that is brought back.
    pub(super) items: Folder,
    /// Where what is replaced goes.
    pub(super) backup: Folder,
    folder: Option<(Vec<u8>, Folder)>,
    step: &'a mut dyn FnMut(Step),
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        root: &'a Root,
        journal: &'a Journal,
        step: &'a mut dyn FnMut(Step),
    ) -> Result<Self, TreeError> {
        let push = journal.header.push;
        let at = TreeError::at(ITEMS);
        let of = |store: &Folder, push| store.folder(&[&name_of(push), ITEMS].join(&b'/'));
        let items = match journal.header.from {
            None => of(&root.0.staging, push).map_err(&at)?,
            Some(from) => of(&root.0.backups, from).map_err(&at)?,
        };
        let backup = of(&root.0.backups, push).map_err(&at)?;
        Ok(Self { root, journal, push, items, backup, folder: None, step })
    }

    /// Looks whether everything is still as it was listed.
    pub(super) fn check(&mut self) -> Result<(), TreeError> {
        let mut missing: Option<Vec<u8>> = None;
        for record in self.journal.forward() {
            let (_, record) = record?;
            let (folder, _) = split(&record.path);
            let is_missing = folder.is_some() && missing.as_deref() == folder;
            let found =
                if is_missing { None } else { look(&mut self.folder, self.root, &record.path)? };
            if found.is_none() && !is_missing {
                missing = match place(&mut self.folder, self.root, &record.path) {
                    Err(Errno::NOENT) => folder.map(<[u8]>::to_vec),
                    _ => None,
                };
            }
            let is_same = match (record.old, found) {
                (Some(old), Some(found)) => found.is_untouched(&old),
                (None, None) => true,
                _ => false,
            };
            if !is_same {
                return Err(TreeError::changed(&record.path));
            }
        }
        self.folder = None;
        Ok(())
    }

    /// Carries out what was decided, or undoes all of it.
    pub(super) fn carry_out(&mut self) -> Result<(), TreeError> {
        self.forward().inspect_err(|_| self.give_up())
    }

    /// Undoes everything, now or when it is taken up the next time.
    pub(super) fn give_up(&mut self) {
        if let Err(worse) = self.begin_undo().and_then(|()| self.undo()) {
            tracing::error!(push = %self.push, %worse, "a push is half undone until it is taken up again");
        }
    }

    fn forward(&mut self) -> Result<(), TreeError> {
        for record in self.journal.forward() {
            let (number, record) = record?;
            match &record.what {
                What::Put { item, facts } => self.put(number, &record, *item, facts)?,
                What::TakeAway => self.take_away(number, &record)?,
                What::Keep => {}
            }
        }
        for record in self.journal.forward() {
            let (_, record) = record?;
            if let Some(time) = record.folder_time {
                self.set_folder_time(&record.path, time)?;
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        number: u64,
        record: &Record,
        item: Item,
        facts: &Facts,
    ) -> Result<(), TreeError> {
        let at = TreeError::at(&record.path);
        let item = item.name();
        let kept = number.to_string().into_bytes();
        let Some(old) = &record.old else {
            return self.move_in(number, record, &item);
        };
        let Some(there) = self.items.look(&item).map_err(&at)? else { return Ok(()) };
        let (_, name) = split(&record.path);
        if there.inode != facts.inode {
            return self.shelve(number, &item, record, old, &kept);
        }
        if !self.backup.has(&kept).map_err(&at)? {
            let folder = place(&mut self.folder, self.root, &record.path).map_err(&at)?;
            let found = folder.look(name).map_err(&at)?;
            if !found.is_some_and(|found| found.is_untouched(old)) {
                return Err(TreeError::changed(&record.path));
            }
            match self.items.exchange(&item, folder, name) {
                Ok(Some(())) => {
                    self.step(number);
                    return self.shelve(number, &item, record, old, &kept);
                }
                Ok(None) => {
                    folder.rename_new(name, &self.backup, &kept).map_err(&at)?;
                    self.step(number);
                }
                Err(Errno::NOENT) => return Err(TreeError::changed(&record.path)),
                Err(error) => return Err(at(error)),
            }
        }
        let out = self.backup.facts(&kept).map_err(&at)?;
        if !out.is_moved(old) {
            return Err(TreeError::changed(&record.path));
        }
        self.move_in(number, record, &item)
    }

    /// Moves an item to where nothing stands, unless that was done before.
    fn move_in(&mut self, number: u64, record: &Record, item: &[u8]) -> Result<(), TreeError> {
        let at = TreeError::at(&record.path);
        let (_, name) = split(&record.path);
        let folder = place(&mut self.folder, self.root, &record.path);
        match folder.and_then(|folder| self.items.rename_new(item, folder, name)) {
            Ok(()) => self.step(number),
            Err(_) if !self.items.has(item).map_err(&at)? => {}
            Err(Errno::EXIST) => return Err(self.root.taken(&record.path)),
            Err(error) => return Err(at(error)),
        }
        Ok(())
    }

    /// Moves what came out of its place to the backup, if it is what was expected.
    fn shelve(
        &mut self,
        number: u64,
        item: &[u8],
        record: &Record,
        old: &Facts,
        kept: &[u8],
    ) -> Result<(), TreeError> {
        let at = TreeError::at(&record.path);
        // Somebody saved between the look and the exchange. Undoing lets the two change places again.
        if !self.items.facts(item).map_err(&at)?.is_moved(old) {
            return Err(TreeError::changed(&record.path));
        }
        self.items.rename_new(item, &self.backup, kept).map_err(&at)?;
        self.step(number);
        Ok(())
    }

    fn take_away(&mut self, number: u64, record: &Record) -> Result<(), TreeError> {
        let at = TreeError::at(&record.path);
        let kept = number.to_string().into_bytes();
        let (_, name) = split(&record.path);
        if self.backup.has(&kept).map_err(&at)? {
            return Ok(());
        }
        let folder = match self.place(&record.path) {
            Ok(folder) => folder.again().map_err(&at)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(at(error)),
        };
        let Some(found) = folder.look(name).map_err(&at)? else { return Ok(()) };
        if !record.old.is_some_and(|old| found.is_untouched(&old)) {
            return Err(TreeError::changed(&record.path));
        }
        // What others put there stays, and with it the folder.
        if found.kind == Kind::Folder
            && !folder.folder(name).map_err(&at)?.is_empty().map_err(&at)?
        {
            return Ok(());
        }
        self.folder = None;
        folder.rename_new(name, &self.backup, &kept).map_err(&at)?;
        self.step(number);
        let out = self.backup.facts(&kept).map_err(&at)?;
        let is_same = record.old.is_some_and(|old| out.is_moved(&old));
        let is_bare = out.kind != Kind::Folder
            || self.backup.folder(&kept).map_err(&at)?.is_empty().map_err(&at)?;
        if is_same && is_bare {
            return Ok(());
        }
        match self.backup.rename_new(&kept, &folder, name) {
            Ok(()) if is_same => Ok(()),
            Ok(()) | Err(Errno::EXIST) => Err(TreeError::changed(&record.path)),
            Err(error) => Err(at(error)),
        }
    }

    pub(super) fn set_folder_time(
        &mut self,
        path: &[u8],
        time: mesh_protocol::FileTime,
    ) -> Result<(), TreeError> {
        let (_, name) = split(path);
        let is_folder = look(&mut self.folder, self.root, path)?
            .is_some_and(|found| found.kind == Kind::Folder);
        if !is_folder {
            return Ok(());
        }
        let at = TreeError::at(path);
        let folder = self.place(path).map_err(&at)?;
        match rustix::fs::utimensat(folder, name, &times(time), AtFlags::SYMLINK_NOFOLLOW) {
            // A folder of somebody else's, whose times are theirs.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::NOENT) => Ok(()),
            Err(error) => Err(at(error)),
        }
    }

    /// Says that all is done, durably, and lets go of what is not needed any more.
    ///
    /// # Errors
    /// It cannot be said durably. Everything is in place, and the list may be taken up again.
    pub(super) fn conclude(&mut self) -> Result<(), TreeError> {
        let name = name_of(self.push);
        let at = TreeError::at(&name);
        self.root.0.top.sync_all().map_err(&at)?;
        self.step(self.journal.count);
        self.shelve_journal()?;
        self.step(self.journal.count);
        self.forget_undo();
        if let Err(error) = self.discard_used(&name) {
            tracing::warn!(push = %self.push, %error, "what a push does not need any more stays for now");
        }
        Ok(())
    }

    fn discard_used(&self, name: &[u8]) -> Result<(), TreeError> {
        self.root.discard(&self.root.0.staging, name)?;
        match self.journal.header.from {
            Some(from) => self.root.discard(&self.root.0.backups, &name_of(from)),
            None => Ok(()),
        }
    }

    /// Moves the list to the backup, which is a whole one with it.
    pub(super) fn shelve_journal(&self) -> Result<(), TreeError> {
        let name = name_of(self.push);
        let at = TreeError::at(&name);
        let backup = self.root.0.backups.folder(&name).map_err(&at)?;
        self.root.0.journal.rename(&name, &backup, PLAN).map_err(&at)?;
        backup.sync().and_then(|()| self.root.0.journal.sync()).map_err(&at)
    }

    pub(super) fn step(&mut self, record: u64) {
        (self.step)(Step { record, records: self.journal.count });
    }

    /// Opens the folder that `path` lies in.
    pub(super) fn place(&mut self, path: &[u8]) -> Result<&Folder, Errno> {
        place(&mut self.folder, self.root, path)
    }

    pub(super) fn leave(&mut self) {
        self.folder = None;
    }
}

fn place<'c>(
    open: &'c mut Option<(Vec<u8>, Folder)>,
    root: &Root,
    path: &[u8],
) -> Result<&'c Folder, Errno> {
    let (folder, _) = split(path);
    let wanted = folder.unwrap_or_default();
    if open.as_ref().is_none_or(|(path, _)| path != wanted) {
        *open = Some((wanted.to_vec(), root.0.top.parent(folder)?));
    }
    open.as_ref().map(|(_, folder)| folder).ok_or(Errno::NOENT)
}

/// Returns what stands at `path`; none also when the way there is not one of folders.
pub(crate) fn look(
    open: &mut Option<(Vec<u8>, Folder)>,
    root: &Root,
    path: &[u8],
) -> Result<Option<Facts>, TreeError> {
    let (_, name) = split(path);
    match place(open, root, path).and_then(|folder| folder.look(name)) {
        Ok(found) => Ok(found),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(TreeError::at(path)(error)),
    }
}
