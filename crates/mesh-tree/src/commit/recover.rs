//! Taking up what a process left behind.

use std::sync::PoisonError;

use mesh_protocol::PushId;

use super::journal::Journal;
use super::run::{READY, Runner, UNDO};
use super::{ITEMS, PLAN};
use crate::path::{name_of, push_of};
use crate::{Root, Staging, TreeError};

/// What became of a push that was being put in place when the process stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// All of it is in place.
    Committed(PushId),
    /// Nothing of it is: it was being undone, or somebody changed a file meanwhile.
    Undone(PushId),
}

impl Root {
    /// Finishes, one way or the other, every commit that was under way, and removes what nobody needs.
    ///
    /// # Errors
    /// [`TreeError::Damaged`] for a list that is not whole; the system's. What was done up to there is
    /// taken up by the next call.
    pub fn recover(&self) -> Result<Vec<Recovered>, TreeError> {
        let _alone = self.0.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let recovered = self.recover_alone()?;
        self.tidy()?;
        Ok(recovered)
    }

    pub(crate) fn recover_alone(&self) -> Result<Vec<Recovered>, TreeError> {
        let at = TreeError::at(crate::root::JOURNAL);
        let journals = &self.0.journal;
        let mut names: Vec<_> = journals.names().and_then(Iterator::collect).map_err(&at)?;
        names.sort_unstable();
        let mut recovered = Vec::new();
        for name in names {
            let Some(push) = push_of(&name) else {
                // The list went first, so all is done or undone; or has been just now; or never came.
                let list = name.strip_suffix(UNDO).or_else(|| name.strip_suffix(READY));
                if list.is_some_and(|list| journals.has(list) == Ok(false)) {
                    journals.remove(&name).map_err(&at)?;
                }
                continue;
            };
            let journal = self.open_journal(journals, &name)?;
            let mut ignore = |_| {};
            let mut runner = Runner::new(self, &journal, &mut ignore)?;
            let is_undone = journals.has(&[&name, UNDO].concat()).map_err(&at)?;
            if is_undone {
                runner.undo()?;
                recovered.push(Recovered::Undone(push));
                continue;
            }
            match runner.carry_out() {
                Ok(()) => {
                    runner.conclude()?;
                    recovered.push(Recovered::Committed(push));
                }
                Err(error) if journals.has(&name).map_err(&at)? => return Err(error),
                Err(error) => {
                    tracing::warn!(%push, %error, "a push was undone");
                    recovered.push(Recovered::Undone(push));
                }
            }
        }
        Ok(recovered)
    }

    pub(crate) fn open_journal(
        &self,
        folder: &crate::folder::Folder,
        name: &[u8],
    ) -> Result<Journal, TreeError> {
        let file = folder.file(name).map_err(TreeError::at(name))?;
        Journal::open(file.map_err(|kind| crate::root::not_a_file(name, kind))?.0, name)
    }

    /// Removes the views that a former process left behind. Whoever holds the root open has none yet; later
    /// ones may be looked at by tests at any time.
    ///
    /// A test may leave what cannot be removed: that is no reason why the root could not be used.
    pub(crate) fn discard_views(&self) {
        let pushes = Staging::list(self).unwrap_or_else(|error| {
            tracing::warn!(%error, "what is staged in a root cannot be listed");
            Vec::new()
        });
        for push in pushes {
            let name = name_of(push);
            let staging = self.0.staging.folder(&name).map_err(TreeError::at(&name));
            if let Err(error) = staging.and_then(|staging| self.discard_view(&staging, push)) {
                tracing::warn!(%push, %error, "what a test left behind cannot be removed");
            }
        }
    }

    fn tidy(&self) -> Result<(), TreeError> {
        if let Err(error) = self.empty_trash() {
            tracing::warn!(%error, "what was thrown away cannot be removed");
        }
        let at = TreeError::at(crate::root::BACKUPS);
        let names: Vec<_> = self.0.backups.names().and_then(Iterator::collect).map_err(&at)?;
        for name in names {
            if push_of(&name).is_none() || self.0.journal.has(&name).map_err(&at)? {
                continue;
            }
            // Gone with a backup that was brought back.
            if !self.0.backups.has(&name).map_err(&at)? {
                continue;
            }
            let backup = self.0.backups.folder(&name).map_err(&at)?;
            if backup.has(PLAN).map_err(&at)? {
                self.discard(&self.0.staging, &name)?;
                if let Some(from) = self.header(&name)?.from {
                    self.discard(&self.0.backups, &name_of(from))?;
                }
                continue;
            }
            // Made for a list that nobody came to decide upon.
            let is_bare = match backup.folder(ITEMS) {
                Ok(items) => items.is_empty().map_err(&at)?,
                Err(rustix::io::Errno::NOENT) => true,
                Err(error) => return Err(at(error)),
            };
            if is_bare {
                self.discard(&self.0.backups, &name)?;
            }
        }
        Ok(())
    }
}
