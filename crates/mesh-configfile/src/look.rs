//! What can be told of a file without opening it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::FileError;

/// As many as Linux follows.
const LINKS_MAX: usize = 40;

/// One look at a path. Two that are equal say that nobody wrote in between, as far as the file
/// system's time stamps can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Missing,
    Present(Facts),
    /// Not even its facts can be read.
    Hidden(io::ErrorKind),
}

/// What a file is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Facts {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Look {
    /// Looks at what `path` leads to.
    pub(crate) fn at(path: &Path) -> Self {
        match resolve(path).and_then(fs::symlink_metadata) {
            Ok(metadata) => Self::Present(Facts::of(&metadata)),
            Err(error) if is_absent(&error) => Self::Missing,
            Err(error) => Self::Hidden(error.kind()),
        }
    }
}

/// Follows symbolic links from `path` to where the file is or would be.
///
/// # Errors
/// What the system said, and `ELOOP` for links without an end.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Something that is no link, or nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput || is_absent(&error) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Returns the folder that `path` lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Tells whether `error` says that there is nothing, be it that a folder on the way is none.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the facts of the regular file at `path`, which is no link; none when there is nothing.
///
/// # Errors
/// [`FileError::NotAFile`] for anything else that stands there.
pub(crate) fn regular(path: &Path) -> Result<Option<Metadata>, FileError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(FileError::from_io(path, error)),
    };
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(Some(metadata));
    }
    let found = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    };
    Err(FileError::NotAFile { path: path.to_owned(), found })
}
