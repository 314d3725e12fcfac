//! The three ways of giving a file its name.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What the file system does in one step. A trait, so that a save can be put into the gap between
/// two steps, and a file system be tried that lacks one.
pub(crate) trait Renames {
    /// Lets two names change places; both must exist.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Renames, unless something stands at `to` already.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames over whatever stands at `to`.
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The real ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Renames for System {
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
            Err(error) if is_unsupported(&error) => {
                match fs::hard_link(from, to) {
                    Ok(()) => fs::remove_file(from),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                    // No hard links either: looking first is all there is.
                    Err(_) if fs::symlink_metadata(to).is_ok() => {
                        Err(io::ErrorKind::AlreadyExists.into())
                    }
                    Err(_) => fs::rename(from, to),
                }
            }
            done => done,
        }
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

/// Tells whether `error` says that the file system knows no such step.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
