//! Reading a file once, with a bound.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::FileError;
use crate::look::{self, Facts};

/// Names the bytes that were read or written: two stamps are equal when the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 32]);

impl Stamp {
    /// Returns the stamp of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Returns sixteen hexadecimal digits that tell it from others.
    pub(crate) fn short(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().chars().take(16).collect()
    }
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stamp({})", self.short())
    }
}

/// What stands at the path.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A regular file, read whole.
    Present {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Their name, by which [`ConfigFile::replace`](crate::ConfigFile::replace) knows them again.
        stamp: Stamp,
    },
    /// Nothing.
    Missing,
}

impl FileContent {
    /// Returns the stamp of what was read; none where nothing stands.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Present { stamp, .. } => Some(*stamp),
            Self::Missing => None,
        }
    }
}

// What the file says may be private.
impl std::fmt::Debug for FileContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Present { bytes, stamp } => f
                .debug_struct("Present")
                .field("bytes", &bytes.len())
                .field("stamp", stamp)
                .finish(),
            Self::Missing => f.write_str("Missing"),
        }
    }
}

/// Reads the file at `path`, which is no symbolic link, without ever waiting for another program.
///
/// # Errors
/// [`FileError::Unsettled`] when it was written or replaced meanwhile.
pub(crate) fn take(path: &Path, bytes_max: usize) -> Result<FileContent, FileError> {
    let Some(seen) = look::regular(path)? else { return Ok(FileContent::Missing) };
    let seen = Facts::of(&seen);
    let unsettled = || FileError::Unsettled { path: path.to_owned() };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if look::is_absent(&error) => return Err(unsettled()),
        Err(error) => return Err(FileError::from_io(path, error)),
    };
    let facts = || Ok(Facts::of(&file.metadata()?));
    let io = |error| FileError::from_io(path, error);
    if facts().map_err(io)? != seen {
        return Err(unsettled());
    }
    let bytes = read_bounded(&file, path, bytes_max)?;
    let is_same = facts().map_err(io)? == seen
        && look::regular(path)?.is_some_and(|metadata| Facts::of(&metadata) == seen);
    if !is_same {
        return Err(unsettled());
    }
    let stamp = Stamp::of(&bytes);
    Ok(FileContent::Present { bytes, stamp })
}

/// Opens for reading what must be a file: neither a pipe nor a terminal makes it wait.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Reads at most `bytes_max` bytes, and refuses what has more.
pub(crate) fn read_bounded(
    file: &File,
    path: &Path,
    bytes_max: usize,
) -> Result<Vec<u8>, FileError> {
    let io = |error| FileError::from_io(path, error);
    let size = file.metadata().map_err(io)?.len();
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let too_large = |bytes| FileError::TooLarge { path: path.to_owned(), bytes, bytes_max };
    if size > bound {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    file.take(bound.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > bytes_max {
        return Err(too_large(bound.saturating_add(1)));
    }
    Ok(bytes)
}
