//! Putting a new content in the place of one that was read, and of no other.
//!
//! The new file is written beside the old one and synced; then the two change places, and what came
//! out is read once more. If it is what the caller had read, it is removed. If somebody saved in the gap,
//! their file changes places back: a save is never replaced unseen.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::FileError;
use crate::content::{self, FileContent, Stamp};
use crate::look;
use crate::renames::{self, Renames};
use crate::shelf::{Shelf, sync_folder};

mod back;
mod leftovers;
#[cfg(test)]
mod tests;

/// Ends the name of a new content, which nobody has seen.
const NEW: &str = ".tmp";
/// Ends the name of a file that changes places: what lies there may be somebody's save.
const SWAP: &str = ".swap";

/// One file, without symbolic links, and what is needed to replace it.
pub(crate) struct Place<'a, R> {
    pub(crate) path: &'a Path,
    pub(crate) shelf: &'a Shelf,
    pub(crate) renames: R,
    pub(crate) bytes_max: usize,
    /// Permissions of a file that did not exist.
    pub(crate) mode: u32,
}

impl<R: Renames> Place<'_, R> {
    /// Puts `bytes` where `expected` stands; nothing must stand there when that is none.
    pub(crate) fn replace(
        &self,
        bytes: &[u8],
        expected: Option<Stamp>,
    ) -> Result<Stamp, FileError> {
        if bytes.len() > self.bytes_max {
            return Err(FileError::TooLarge {
                path: self.path.to_owned(),
                bytes: bytes.len() as u64,
                bytes_max: self.bytes_max,
            });
        }
        let old = self.check(expected)?;
        let stamp = Stamp::of(bytes);
        if expected == Some(stamp) {
            return Ok(stamp);
        }
        if expected.is_none() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(self.folder());
            made.map_err(|error| FileError::from_io(self.folder(), error))?;
        }
        let new = self.write(bytes, old.as_ref()).map_err(|error| self.error(error))?;
        match expected {
            None => self.create(new)?,
            Some(expected) => self.swap(new, expected, stamp)?,
        }
        Ok(stamp)
    }

    /// Returns the facts of what stands here, if that is what was expected.
    fn check(&self, expected: Option<Stamp>) -> Result<Option<Metadata>, FileError> {
        let old = look::regular(self.path)?;
        let content = match content::take(self.path, self.bytes_max) {
            Ok(content) => content,
            // What is there was not read by the caller, whatever else is the matter with it.
            Err(FileError::Unsettled { .. } | FileError::TooLarge { .. }) => {
                return Err(self.changed());
            }
            Err(error) => return Err(error),
        };
        if content.stamp() == expected { Ok(old) } else { Err(self.changed()) }
    }

    /// Writes a file beside the old one that is in everything but its content like it.
    fn write(&self, bytes: &[u8], old: Option<&Metadata>) -> io::Result<NamedTempFile> {
        let mut new = tempfile::Builder::new()
            .prefix(&leftovers::prefix(self.path))
            .suffix(NEW)
            .tempfile_in(self.folder())?;
        new.write_all(bytes)?;
        let mode = match old {
            None => self.mode,
            Some(old) => like(new.as_file(), old)?,
        };
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
        new.as_file().sync_all()?;
        Ok(new)
    }

    fn create(&self, new: NamedTempFile) -> Result<(), FileError> {
        let new = new.into_temp_path();
        match self.renames.rename_new(&new, self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.changed());
            }
            Err(error) => return Err(self.error(error)),
        }
        self.sync()
    }

    fn swap(&self, new: NamedTempFile, expected: Stamp, ours: Stamp) -> Result<(), FileError> {
        let new = new.into_temp_path();
        self.check(Some(expected))?;
        let swap = new.with_extension(SWAP.trim_start_matches('.'));
        fs::rename(&new, &swap).map_err(|error| self.error(error))?;
        match self.renames.exchange(&swap, self.path) {
            Ok(()) => {}
            Err(error) => {
                let done = if renames::is_unsupported(&error) {
                    self.rename_over(&swap, expected)
                } else if look::is_absent(&error) {
                    Err(self.changed())
                } else {
                    Err(self.error(error))
                };
                if done.is_err() {
                    remove(&swap);
                }
                return done;
            }
        }
        // Twice: a program that had opened the old file before it left its place may still be writing.
        let is_expected = self.came_out(&swap) == Some(expected)
            && self.sync().is_ok()
            && self.came_out(&swap) == Some(expected);
        if is_expected {
            remove(&swap);
            return Ok(());
        }
        self.put_back(&swap, ours);
        Err(self.changed())
    }

    /// The best that can be done where two files cannot change places: a save between the check and the
    /// rename is replaced.
    fn rename_over(&self, swap: &Path, expected: Stamp) -> Result<(), FileError> {
        self.check(Some(expected))?;
        self.renames.rename_over(swap, self.path).map_err(|error| self.error(error))?;
        self.sync()
    }

    /// Returns what lies at `swap`; none when that is no file that could have been read.
    fn came_out(&self, swap: &Path) -> Option<Stamp> {
        content::take(swap, self.bytes_max).ok().as_ref().and_then(FileContent::stamp)
    }

    fn sync(&self) -> Result<(), FileError> {
        sync_folder(self.folder()).map_err(|error| self.error(error))
    }

    fn folder(&self) -> &Path {
        look::folder_of(self.path)
    }

    fn changed(&self) -> FileError {
        FileError::Changed { path: self.path.to_owned() }
    }

    fn error(&self, source: io::Error) -> FileError {
        FileError::from_io(self.path, source)
    }
}

/// Gives `new` the owner of `old` as far as the system lets us, and returns the mode it may have.
fn like(new: &fs::File, old: &Metadata) -> io::Result<u32> {
    let mode = old.mode() & 0o777;
    let ours = new.metadata()?;
    if (ours.uid(), ours.gid()) == (old.uid(), old.gid())
        || fchown(new, Some(old.uid()), Some(old.gid())).is_ok()
        || fchown(new, None, Some(old.gid())).is_ok()
    {
        return Ok(mode);
    }
    // What the old group was allowed is not meant for ours.
    Ok(mode & !0o070)
}

fn remove(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a leftover stays until the next start");
    }
}
