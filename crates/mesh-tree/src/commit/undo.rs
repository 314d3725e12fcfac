//! Undoing what was carried out of a list.

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::ITEMS;
use super::journal::{Record, What};
use super::run::{READY, Runner, UNDO};
use crate::path::{name_of, shown, split};
use crate::{Facts, TreeError};

impl Runner<'_> {
    /// Makes what [`begin_undo`](Self::begin_undo) needs, before anything is decided: a push that failed
    /// because nothing can be made must not be taken for one that goes on.
    pub(super) fn prepare_undo(&self) -> Result<(), TreeError> {
        let name = [&name_of(self.push), READY].concat();
        let made = self.root.0.journal.own_file(&name, OFlags::CREATE);
        made.map(drop).map_err(TreeError::at(&name))
    }

    /// Removes that again; what stays lies there without a list, and goes with the next recovery.
    pub(super) fn forget_undo(&self) {
        let name = [&name_of(self.push), READY].concat();
        if let Err(error) = self.root.0.journal.remove(&name) {
            tracing::warn!(push = %self.push, %error, "a mark of a push that is over stays for now");
        }
    }

    /// Says, durably, that the list is not carried out any more.
    pub(super) fn begin_undo(&mut self) -> Result<(), TreeError> {
        self.say_undone().map_err(TreeError::at(&name_of(self.push)))?;
        self.step(self.journal.count);
        Ok(())
    }

    fn say_undone(&self) -> Result<(), Errno> {
        let push = name_of(self.push);
        let name = [&push, UNDO].concat();
        let journal = &self.root.0.journal;
        match journal.rename(&[&push, READY].concat(), journal, &name) {
            // A list from before there were such files.
            Err(Errno::NOENT) => journal.own_file(&name, OFlags::CREATE).map(drop)?,
            renamed => renamed?,
        }
        journal.sync()
    }

    /// Brings back what was, from the last record to the first.
    pub(super) fn undo(&mut self) -> Result<(), TreeError> {
        self.leave();
        let mut is_whole = true;
        for record in self.journal.backward() {
            let (number, record) = record?;
            let is_undone = match &record.what {
                What::Put { item, facts } => {
                    self.take_back(number, &record, &item.name(), facts)?
                }
                What::TakeAway => self.give_back(number, &record)?,
                What::Keep => true,
            };
            if !is_undone {
                tracing::warn!(
                    path = shown(&record.path),
                    "somebody changed it, so it stays as it is"
                );
                is_whole = false;
            }
        }
        for record in self.journal.forward() {
            let (_, record) = record?;
            if let (What::Keep, Some(old)) = (&record.what, record.old) {
                self.set_folder_time(&record.path, old.modified)?;
            }
        }
        self.forget(is_whole)
    }

    /// Undoes a put. Returns whether what was listed stands there again.
    fn take_back(
        &mut self,
        number: u64,
        record: &Record,
        item: &[u8],
        facts: &Facts,
    ) -> Result<bool, TreeError> {
        let at = TreeError::at(&record.path);
        let kept = number.to_string().into_bytes();
        let (_, name) = split(&record.path);
        let there = self.items.look(item).map_err(&at)?;
        let folder = match self.place(&record.path) {
            Ok(folder) => folder.again().map_err(&at)?,
            // Nothing was put where no folder is.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(there.is_some()),
            Err(error) => return Err(at(error)),
        };
        let found = folder.look(name).map_err(&at)?;
        let is_ours = found.is_some_and(|found| found.is_moved(facts));
        match there {
            Some(there) if there.inode == facts.inode => {
                self.return_kept(number, &kept, &folder, name).map_err(at)
            }
            // What was replaced lies where the item lay.
            Some(_) => {
                let done = match found {
                    Some(_) if is_ours => self.items.exchange(item, &folder, name),
                    None => self.items.rename_new(item, &folder, name).map(Some),
                    Some(_) => self.items.rename_new(item, &self.backup, &kept).map(|()| None),
                };
                self.step(number);
                Ok(done.map_err(at)?.is_some())
            }
            None => {
                if self.backup.look(&kept).map_err(&at)?.is_some_and(|it| it.inode == facts.inode) {
                    self.backup.rename_new(&kept, &self.items, item).map_err(&at)?;
                    self.step(number);
                    return Ok(true);
                }
                if found.is_none() {
                    return self.return_kept(number, &kept, &folder, name).map_err(at);
                }
                let is_filled = is_ours
                    && facts.kind == crate::Kind::Folder
                    && record.old.is_none()
                    && !folder.folder(name).map_err(&at)?.is_empty().map_err(&at)?;
                if !is_ours || is_filled {
                    return Ok(false);
                }
                self.leave();
                if self.backup.has(&kept).map_err(&at)?
                    && self.backup.exchange(&kept, &folder, name).map_err(&at)?.is_some()
                {
                    self.step(number);
                    self.backup.rename_new(&kept, &self.items, item).map_err(&at)?;
                    self.step(number);
                    return Ok(true);
                }
                folder.rename_new(name, &self.items, item).map_err(&at)?;
                self.step(number);
                self.return_kept(number, &kept, &folder, name).map_err(at)
            }
        }
    }

    fn give_back(&mut self, number: u64, record: &Record) -> Result<bool, TreeError> {
        let at = TreeError::at(&record.path);
        let kept = number.to_string().into_bytes();
        if !self.backup.has(&kept).map_err(&at)? {
            return Ok(true);
        }
        let (_, name) = split(&record.path);
        match self.place(&record.path).and_then(crate::folder::Folder::again) {
            Ok(folder) => self.return_kept(number, &kept, &folder, name).map_err(at),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(at(error)),
        }
    }

    /// Moves what was kept back to its place, unless something else stands there.
    fn return_kept(
        &mut self,
        number: u64,
        kept: &[u8],
        folder: &crate::folder::Folder,
        name: &[u8],
    ) -> Result<bool, Errno> {
        if !self.backup.has(kept)? {
            return Ok(true);
        }
        match self.backup.rename_new(kept, folder, name) {
            Ok(()) => {
                self.step(number);
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends the undoing. What could not be brought back stays as a backup.
    fn forget(&mut self, is_whole: bool) -> Result<(), TreeError> {
        let name = name_of(self.push);
        let at = TreeError::at(&name);
        let root = self.root;
        root.0.top.sync_all().map_err(&at)?;
        self.step(self.journal.count);
        let backup = root.0.backups.folder(&name).map_err(&at)?;
        let is_bare = backup.folder(ITEMS).and_then(|items| items.is_empty()).map_err(&at)?;
        if is_whole || is_bare {
            root.0.journal.unlink(&name).map_err(&at)?;
        } else {
            self.shelve_journal()?;
        }
        root.0.journal.sync().map_err(&at)?;
        self.step(self.journal.count);
        root.0.journal.unlink(&[&name, UNDO].concat()).map_err(&at)?;
        if is_whole || is_bare {
            root.discard(&root.0.backups, &name)?;
        }
        Ok(())
    }
}
