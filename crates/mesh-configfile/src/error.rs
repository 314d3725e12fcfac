use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be read, replaced or kept. It was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// More bytes than are allowed; at most the bound was held in memory.
    #[error("{} has {bytes} bytes, more than the {bytes_max} that are allowed", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How many it has, or how many should have been written.
        bytes: u64,
        /// How many it may have.
        bytes_max: usize,
    },
    /// A folder, pipe, socket or device stands where the file belongs. It was not opened.
    #[error("{} is {found}, not a regular file", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
    /// This program may not read the file, or not write beside it.
    #[error("permission denied for {}", path.display())]
    Denied {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file did not stay the same for long enough. Another change will be announced.
    #[error("{} is being written", path.display())]
    Unsettled {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not the one that was read: somebody saved, deleted or created it. It stands as they
    /// left it, and nothing was written.
    #[error("{} was changed by somebody else", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// No space, or none that this user may take.
    #[error("no space left for {}", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A version's name has a character other than `a-z`, `0-9` and `-`, or not 1 to 64 of them.
    #[error("{name:?} cannot name a version")]
    Name {
        /// The name.
        name: String,
    },
    /// The system refused for another reason.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The runtime is going down; the operation may have happened.
    #[error("stopped while working on {}", path.display())]
    Stopped {
        /// Which file.
        path: PathBuf,
    },
}

impl FileError {
    /// Sorts what the system said about `path`.
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if kind == io::ErrorKind::PermissionDenied {
            return Self::Denied { path, source };
        }
        let is_full = matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if is_full { Self::Full { path, source } } else { Self::Io { path, source } }
    }
}
