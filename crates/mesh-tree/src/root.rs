//! A folder that pushes are put into.
//!
//! What belongs to the root itself lies in one folder in it, [`OWN`], so that everything can be moved into
//! place by renames: what is being put together, what was replaced, and the lists of renames under way.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_protocol::{PushId, RelativePath};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::folder::{Folder, link_target};
use crate::local::LocalFile;
use crate::path::{name_of, shown, split};
use crate::staging::VIEW;
use crate::{Facts, Kind, Refusal, TreeError};

mod folding;
mod reader;
mod usage;

pub use reader::RootReader;
pub use usage::Usage;
pub(crate) use usage::{Known, usage_of};

/// The root's own folder. No path beneath it is taken from anybody.
pub(crate) const OWN: &[u8] = b".mesh-tree";
pub(crate) const STAGING: &[u8] = b"staging";
pub(crate) const BACKUPS: &[u8] = b"backups";
pub(crate) const JOURNAL: &[u8] = b"journal";
/// What waits to be removed: nothing in it is ever looked at again.
const TRASH: &[u8] = b"trash";

/// What a root may take, and how files look in it.
#[derive(Clone, Copy, Debug)]
pub struct RootConfig {
    /// Bytes of everything in it: what was pushed, what others put there, what is kept of before.
    pub bytes_max: u64,
    /// Files, folders and links, counted alike.
    pub files_max: u64,
    /// Left free on the file system, whoever else writes there.
    pub free_bytes_min: u64,
    /// Permissions of a new file that nobody runs; a program gets an `x` beside each `r`.
    pub file_mode: u32,
    /// Permissions of a new folder.
    pub folder_mode: u32,
}

impl Default for RootConfig {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 40,
            files_max: 4 << 20,
            free_bytes_min: 64 << 20,
            file_mode: 0o644,
            folder_mode: 0o755,
        }
    }
}

/// An open root. Cheap to clone; while one clone is there, no other process can open it.
///
/// Every call blocks.
#[derive(Clone)]
pub struct Root(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    path: PathBuf,
    pub(crate) top: Folder,
    pub(crate) config: RootConfig,
    pub(crate) staging: Folder,
    pub(crate) backups: Folder,
    pub(crate) journal: Folder,
    /// Names in it are given by whoever removes something, one at a time.
    trash: Mutex<Folder>,
    folds: bool,
    pub(crate) usage: Mutex<Option<Known>>,
    /// One commit at a time: they would replace what the others have looked at.
    pub(crate) commits: Mutex<()>,
    _lock: File,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Root {
    /// Opens the folder at `path`, which must exist.
    ///
    /// [`recover`](Self::recover) comes before anything else is done with it.
    ///
    /// # Errors
    /// [`TreeError::Busy`] while another process has it open; [`TreeError::Refused`] when somebody else
    /// owns the folder that it keeps its own things in.
    pub fn open(path: &Path, config: RootConfig) -> Result<Self, TreeError> {
        let io = TreeError::at_std(path);
        let absolute = std::path::absolute(path).map_err(&io)?;
        let top = Folder::top(path).map_err(|error| io(error.into()))?;
        let at = TreeError::at(OWN);
        let own = top.own_folder(OWN).map_err(&at)?;
        let facts = own.own_facts().map_err(&at)?;
        if facts.owner != rustix::process::geteuid().as_raw() || facts.mode & 0o077 != 0 {
            return Err(TreeError::refused(OWN, Refusal::Reserved));
        }
        let lock = own.own_file(b"lock", OFlags::CREATE).map_err(&at)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(TreeError::Busy { path: path.display().to_string() });
            }
            Err(error) => return Err(at(error)),
        }
        let folder = |name| own.own_folder(name).map_err(&at);
        let inner = Inner {
            staging: folder(STAGING)?,
            backups: folder(BACKUPS)?,
            journal: folder(JOURNAL)?,
            trash: Mutex::new(folder(TRASH)?),
            folds: folding::is_folding(&own).map_err(&at)?,
            usage: Mutex::new(None),
            commits: Mutex::new(()),
            path: absolute,
            top,
            config,
            _lock: lock,
        };
        let root = Self(Arc::new(inner));
        root.discard_views();
        Ok(root)
    }

    /// Returns where it is, as an absolute path; links on the way are left as they were given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Tells whether its file system takes names for one that differ in case or in how letters are composed.
    #[must_use]
    pub fn folds_names(&self) -> bool {
        self.0.folds
    }

    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// [`TreeError::Refused`] with why it cannot be one.
    pub fn file(&self, path: &RelativePath) -> Result<LocalFile, TreeError> {
        self.allow(path)?;
        LocalFile::open(&self.0.top, path.as_bytes())
    }

    /// Returns what stands at `path`; none when nothing does.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when the way there leads through something that is not a folder.
    pub fn look(&self, path: &RelativePath) -> Result<Option<Facts>, TreeError> {
        self.allow(path)?;
        let at = TreeError::at(path.as_bytes());
        let (folder, name) = split(path.as_bytes());
        match self.0.top.parent(folder) {
            Ok(folder) => folder.look(name).map_err(at),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(at(error)),
        }
    }

    /// Returns where the symbolic link at `path` leads; none when no link stands there.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn link(&self, path: &RelativePath) -> Result<Option<Vec<u8>>, TreeError> {
        if self.look(path)?.is_none_or(|found| found.kind != Kind::Link) {
            return Ok(None);
        }
        let at = TreeError::at(path.as_bytes());
        let (folder, name) = split(path.as_bytes());
        let folder = self.0.top.parent(folder).map_err(&at)?;
        link_target(&folder, name).map(Some).map_err(at)
    }

    /// Refuses what belongs to the root itself, in whatever case.
    pub(crate) fn allow(&self, path: &RelativePath) -> Result<(), TreeError> {
        let first = path.components().next().unwrap_or_default();
        if first.is_empty() {
            return Err(TreeError::refused(b"", Refusal::Root));
        }
        let is_own = first.eq_ignore_ascii_case(OWN) || (self.0.folds && self.is_own(first));
        if is_own { Err(TreeError::refused(path.as_bytes(), Refusal::Reserved)) } else { Ok(()) }
    }

    fn is_own(&self, name: &[u8]) -> bool {
        let inode = |name| self.0.top.facts(name).ok().map(|facts| facts.inode);
        inode(name).is_some_and(|found| inode(OWN) == Some(found))
    }

    /// Refuses a name that stands for something which is called otherwise.
    pub(crate) fn check_name(&self, folder: &Folder, path: &[u8]) -> Result<(), TreeError> {
        if !self.0.folds {
            return Ok(());
        }
        let at = TreeError::at(path);
        let (_, name) = split(path);
        for found in folder.names().map_err(&at)? {
            if found.map_err(&at)? == name {
                return Ok(());
            }
        }
        Err(TreeError::refused(path, Refusal::Clash))
    }

    pub(crate) fn taken(&self, path: &[u8]) -> TreeError {
        if self.0.folds {
            return TreeError::refused(path, Refusal::Clash);
        }
        TreeError::changed(path)
    }

    /// Removes something of ours: out of the way at once, then for good.
    pub(crate) fn discard(&self, folder: &Folder, name: &[u8]) -> Result<(), TreeError> {
        self.discard_as(folder, name, name)
    }

    /// Removes the view of a push from the folder of its staging.
    pub(crate) fn discard_view(&self, staging: &Folder, push: PushId) -> Result<(), TreeError> {
        self.discard_as(staging, VIEW, &[&name_of(push), VIEW].join(&b'.'))
    }

    /// Two of the same name must not meet in the trash.
    fn discard_as(&self, folder: &Folder, name: &[u8], trashed: &[u8]) -> Result<(), TreeError> {
        let at = TreeError::at(name);
        if !folder.has(name).map_err(&at)? {
            return Ok(());
        }
        {
            let trash = self.0.trash.lock().unwrap_or_else(PoisonError::into_inner);
            trash.remove(trashed).map_err(&at)?;
            folder.rename(name, &trash, trashed).map_err(&at)?;
            trash.remove(trashed).map_err(&at)?;
        }
        *self.0.usage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    pub(crate) fn empty_trash(&self) -> Result<(), TreeError> {
        let at = TreeError::at(TRASH);
        let trash = self.0.trash.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<_> = trash.names().and_then(Iterator::collect).map_err(&at)?;
        names.iter().try_for_each(|name| trash.remove(name)).map_err(&at)
    }
}

/// Says that `kind` stands where a file belongs.
pub(crate) fn not_a_file(path: &[u8], kind: Kind) -> TreeError {
    let why = match kind {
        Kind::Link => Refusal::Link,
        Kind::File | Kind::Folder | Kind::Pipe | Kind::Socket | Kind::Device => {
            Refusal::Special(kind)
        }
    };
    TreeError::Refused { path: shown(path), why }
}
