//! What is staged, under the names that it will have: for a test to look at.

use std::fmt;
use std::path::{Path, PathBuf};

use mesh_protocol::{FileEntry, FolderEntry, LinkEntry, RelativePath};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Staging, VIEW, view_name};
use crate::folder::{Folder, PRIVATE};
use crate::path::{native, shown, split, stays_inside};
use crate::root::{OWN, STAGING};
use crate::{Refusal, TreeError};

/// A folder in which staged files stand under their names, as hard links: it takes no space, and what a
/// test does to a file it does to the staged one, which [`Staging::check`] finds.
///
/// Every call blocks. It goes with the staging, or when the root is opened the next time, when nobody
/// [removes](Self::remove) it.
pub struct View {
    staging: Staging,
    folder: Folder,
    path: PathBuf,
    open: Option<(Vec<u8>, Folder)>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("push", &self.staging.push()).finish_non_exhaustive()
    }
}

impl Staging {
    /// Makes an empty view, in place of one that was there before. There is one at a time.
    ///
    /// # Errors
    /// As [`View::check_place`]; otherwise the system's.
    pub fn view(&self) -> Result<View, TreeError> {
        let at = TreeError::at(VIEW);
        self.discard_view()?;
        self.0.folder.make(VIEW, PRIVATE).map_err(&at)?;
        let folder = self.0.folder.folder(VIEW).map_err(&at)?;
        let mut path = self.0.root.path().to_owned();
        path.extend([OWN, STAGING, &view_name(self.0.push)].map(native));
        let view = View { staging: self.clone(), folder, path, open: None };
        view.check_place()?;
        Ok(view)
    }

    fn discard_view(&self) -> Result<(), TreeError> {
        self.0.root.discard_view(&self.0.folder, self.0.push)
    }
}

impl View {
    /// Returns where it is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where an entry of that path is in it.
    #[must_use]
    pub fn path_of(&self, path: &RelativePath) -> PathBuf {
        let mut whole = self.path.clone();
        whole.extend(path.components().map(native));
        whole
    }

    /// Fails unless [`path`](Self::path) leads here. To be asked before a test is told that path: whoever may
    /// rename folders on the way could make it lead to programs of their own.
    ///
    /// # Errors
    /// [`TreeError::Changed`] when it does not.
    pub fn check_place(&self) -> Result<(), TreeError> {
        let at = TreeError::at(VIEW);
        let is_here = |found: &Folder| {
            let (found, own) = (found.own_facts()?, self.folder.own_facts()?);
            Ok((found.device, found.inode) == (own.device, own.inode))
        };
        match Folder::top(&self.path).and_then(|found| is_here(&found)) {
            Ok(true) => Ok(()),
            Ok(false) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                Err(TreeError::Changed { path: self.path.display().to_string() })
            }
            Err(error) => Err(at(error)),
        }
    }

    /// Adds the staged file with that number, which must be finished.
    ///
    /// # Errors
    /// [`TreeError::Mismatch`] when it is not, [`TreeError::Refused`] when it cannot stand there.
    pub fn add_file(&mut self, number: u64, entry: &FileEntry) -> Result<(), TreeError> {
        let path = entry.path.as_bytes();
        let at = TreeError::at(path);
        if !self.staging.is_finished(number) {
            return Err(TreeError::Mismatch { path: shown(path) });
        }
        let staging = self.staging.clone();
        let items = &staging.0.items;
        let (_, name) = split(path);
        let place = self.place(&entry.path)?;
        let item = number.to_string().into_bytes();
        match rustix::fs::linkat(items, item, place, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(staging.0.root.taken(path)),
            Err(error) => Err(at(error)),
        }
    }

    /// Adds a folder, in which others may lie. One that is there already stays.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when it cannot stand there.
    pub fn add_folder(&mut self, entry: &FolderEntry) -> Result<(), TreeError> {
        let (_, name) = split(entry.path.as_bytes());
        let place = self.place(&entry.path)?;
        place.own_folder(name).map(drop).map_err(TreeError::at(entry.path.as_bytes()))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when it cannot stand there, or leads out of the view.
    pub fn add_link(&mut self, entry: &LinkEntry) -> Result<(), TreeError> {
        let path = entry.path.as_bytes();
        if !stays_inside(&entry.path, &entry.target) {
            return Err(TreeError::refused(path, Refusal::LinkLeaves));
        }
        let root = self.staging.0.root.clone();
        let (_, name) = split(path);
        let place = self.place(&entry.path)?;
        match rustix::fs::symlinkat(entry.target.as_slice(), place, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(root.taken(path)),
            Err(error) => Err(TreeError::at(path)(error)),
        }
    }

    /// Removes it, with whatever a test has left in it.
    ///
    /// # Errors
    /// The system's; the rest is removed when the root is opened the next time.
    pub fn remove(self) -> Result<(), TreeError> {
        self.staging.discard_view()
    }

    /// Opens the folder that `path` lies in, and makes it first when it is not there.
    fn place(&mut self, path: &RelativePath) -> Result<&Folder, TreeError> {
        self.staging.0.root.allow(path)?;
        let at = TreeError::at(path.as_bytes());
        let (folder, _) = split(path.as_bytes());
        let wanted = folder.unwrap_or_default();
        if self.open.as_ref().is_none_or(|(path, _)| path != wanted) {
            let found = match self.folder.parent(folder) {
                Err(Errno::NOENT) => self.make_way(wanted),
                found => found,
            };
            self.open = Some((wanted.to_vec(), found.map_err(&at)?));
        }
        self.open.as_ref().map(|(_, folder)| folder).ok_or_else(|| at(Errno::NOENT))
    }

    fn make_way(&self, path: &[u8]) -> Result<Folder, Errno> {
        let names = path.split(|byte| *byte == b'/');
        names.into_iter().try_fold(self.folder.again()?, |folder, name| folder.own_folder(name))
    }
}
