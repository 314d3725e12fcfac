//! What pushes replaced: kept by count and age, and brought back.

use std::sync::PoisonError;

use mesh_protocol::PushId;
use rustix::io::Errno;

use crate::commit::journal::{Header, Item, Journal, Record, What, Writer};
use crate::commit::{ITEMS, PLAN, Planned, draft, look};
use crate::folder::Folder;
use crate::path::{name_of, push_of, split};
use crate::root::{BACKUPS, not_a_file, usage_of};
use crate::{Facts, Kind, Root, TreeError, Usage};

/// What is kept of the state before a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Which push.
    pub push: PushId,
    /// When that was committed, in seconds since 1970.
    pub at: i64,
    /// The push that it brought back the state before of; none when it brought something new.
    pub from: Option<PushId>,
}

/// How long backups are kept: until either bound is passed.
#[derive(Clone, Copy, Debug)]
pub struct KeepConfig {
    /// How many there are at most.
    pub backups_max: usize,
    /// How old they become, in seconds.
    pub age_seconds_max: i64,
}

impl Default for KeepConfig {
    fn default() -> Self {
        Self { backups_max: 20, age_seconds_max: 30 * 86_400 }
    }
}

impl Root {
    /// Lists the backups, the newest first.
    ///
    /// # Errors
    /// [`TreeError::Damaged`], or the system's.
    pub fn backups(&self) -> Result<Vec<Backup>, TreeError> {
        let at = TreeError::at(BACKUPS);
        let mut backups = Vec::new();
        for name in self.0.backups.names().map_err(&at)? {
            let name = name.map_err(&at)?;
            let is_whole = push_of(&name).is_some()
                && self.0.backups.folder(&name).and_then(|it| it.has(PLAN)).map_err(&at)?;
            if is_whole {
                let Header { push, from, at } = self.header(&name)?;
                backups.push(Backup { push, at, from });
            }
        }
        backups.sort_unstable_by_key(|backup| std::cmp::Reverse((backup.at, backup.push)));
        Ok(backups)
    }

    /// Counts what is kept of the state before `push`.
    ///
    /// # Errors
    /// [`TreeError::Push`] when nothing is.
    pub fn backup_usage(&self, push: PushId) -> Result<Usage, TreeError> {
        let backup = self.backup(push)?;
        usage_of(&backup, ITEMS)
    }

    /// Removes the backups that are too many or too old at `now`, and returns them. That of `spare` stays:
    /// what was put in place just now can be taken back, whatever the clock says.
    ///
    /// # Errors
    /// The system's.
    pub fn prune(
        &self,
        keep: &KeepConfig,
        now: i64,
        spare: PushId,
    ) -> Result<Vec<PushId>, TreeError> {
        let _alone = self.0.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pruned = Vec::new();
        for (index, backup) in self.backups()?.into_iter().enumerate() {
            let age = now.saturating_sub(backup.at);
            let is_over = index >= keep.backups_max || age > keep.age_seconds_max;
            if is_over && backup.push != spare {
                self.discard(&self.0.backups, &name_of(backup.push))?;
                pruned.push(backup.push);
            }
        }
        Ok(pruned)
    }

    /// Lists, as a push of its own called `push`, what brings back the state before the push `of`.
    ///
    /// With `is_forced` a file that was changed since goes to the backup of the new push. When that is
    /// committed, the backup of `of` is gone: bringing back the state before `push` leads to it again.
    ///
    /// # Errors
    /// [`TreeError::Push`] when nothing is kept, [`TreeError::Changed`] with the first file that somebody
    /// changed since.
    pub fn plan_rollback(
        &self,
        of: PushId,
        push: PushId,
        now: i64,
        is_forced: bool,
    ) -> Result<Planned, TreeError> {
        let _alone = self.0.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name_of(push);
        let at = TreeError::at(&name);
        if self.0.backups.has(&name).map_err(&at)? {
            return Err(TreeError::Push { push, problem: "was committed already" });
        }
        let backup = self.backup(of)?;
        let journal = self.open_journal(&backup, PLAN)?;
        let items = backup.folder(ITEMS).map_err(&at)?;
        let staging = self.0.staging.own_folder(&name).map_err(&at)?;
        let header = Header { push, from: Some(of), at: now };
        let writer = Writer::new(draft(&staging)?, header)?;
        let open = None;
        let mut back = Back { root: self, items, writer, open, is_forced, taken: Vec::new() };
        let listed = journal.backward().try_for_each(|record| {
            let (number, record) = record?;
            back.add(number, record)
        });
        if let Err(error) = listed {
            self.discard(&self.0.staging, &name)?;
            return Err(error);
        }
        back.writer.finish()?;
        Ok(Planned { root: self.clone(), push })
    }

    pub(crate) fn header(&self, name: &[u8]) -> Result<Header, TreeError> {
        let at = TreeError::at(name);
        let backup = self.0.backups.folder(name).map_err(&at)?;
        let file = backup.file(PLAN).map_err(&at)?.map_err(|kind| not_a_file(name, kind))?;
        Ok(Journal::open_unread(file.0, name)?.header)
    }

    fn backup(&self, push: PushId) -> Result<Folder, TreeError> {
        let name = name_of(push);
        let backup = match self.0.backups.folder(&name) {
            Ok(backup) => Some(backup),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(TreeError::at(&name)(error)),
        };
        backup
            .filter(|backup| backup.has(PLAN) == Ok(true))
            .ok_or(TreeError::Push { push, problem: "has left nothing to bring back" })
    }
}

/// A rollback while it is listed: the records of the push, from the last one on.
struct Back<'a> {
    root: &'a Root,
    items: Folder,
    writer: Writer,
    open: Option<(Vec<u8>, Folder)>,
    is_forced: bool,
    /// How many things go from the folders whose own records are still to come.
    taken: Vec<(Vec<u8>, usize)>,
}

impl Back<'_> {
    fn add(&mut self, number: u64, record: Record) -> Result<(), TreeError> {
        let path = record.path;
        let found = look(&mut self.open, self.root, &path)?;
        if found.is_some_and(|found| found.kind.is_special()) {
            return Err(TreeError::changed(&path));
        }
        let going = self.going_from(&path);
        let name = number.to_string().into_bytes();
        let kept = self.items.look(&name).map_err(TreeError::at(&path))?;
        let put = |facts| What::Put { item: Item::Numbered(number), facts };
        let (what, expected, folder_time) = match (record.what, record.old) {
            (What::Keep, old) => {
                if !found.is_some_and(|found| found.kind == Kind::Folder) {
                    return Ok(());
                }
                (What::Keep, found, old.map(|old| old.modified))
            }
            (What::Put { facts, .. }, None) => (What::TakeAway, Some(facts), None),
            (What::Put { facts, item }, Some(old)) => {
                let kept = kept.ok_or_else(|| TreeError::damaged(name.escape_ascii()))?;
                // A folder that was put there with nothing in it. One that came with what is in it goes
                // with that, to the backup.
                if matches!(item, Item::Made(_)) {
                    self.check_bare(&path, found, going)?;
                }
                (put(kept), Some(facts), folder_time(&old))
            }
            (What::TakeAway, old) => match kept {
                Some(kept) => (put(kept), None, old.as_ref().and_then(folder_time)),
                // It was not empty, so it stayed.
                None => return Ok(()),
            },
        };
        let is_expected = match (expected, found) {
            (Some(expected), Some(found)) => found.is_moved(&expected),
            (None, None) => true,
            _ => false,
        };
        if !is_expected && !self.is_forced {
            return Err(TreeError::changed(&path));
        }
        if what == What::TakeAway {
            if found.is_none() {
                return Ok(());
            }
            self.goes(&path);
        }
        self.writer.add(&Record { path, what, old: found, folder_time })
    }

    /// Refuses to replace a folder that has more in it than what goes.
    fn check_bare(
        &mut self,
        path: &[u8],
        found: Option<Facts>,
        going: usize,
    ) -> Result<(), TreeError> {
        if self.is_forced || !found.is_some_and(|found| found.kind == Kind::Folder) {
            return Ok(());
        }
        let at = TreeError::at(path);
        let folder = self.root.0.top.folder(path).map_err(&at)?;
        let count = folder.names().map_err(&at)?.take(going + 1).count();
        if count > going { Err(TreeError::changed(path)) } else { Ok(()) }
    }

    fn goes(&mut self, path: &[u8]) {
        let folder = split(path).0.unwrap_or_default();
        match self.taken.last_mut() {
            Some((open, count)) if open == folder => *count += 1,
            _ => self.taken.push((folder.to_vec(), 1)),
        }
    }

    fn going_from(&mut self, path: &[u8]) -> usize {
        self.taken.pop_if(|(folder, _)| folder == path).map_or(0, |(_, count)| count)
    }
}

fn folder_time(old: &Facts) -> Option<mesh_protocol::FileTime> {
    (old.kind == Kind::Folder).then_some(old.modified)
}
