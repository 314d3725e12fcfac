//! Versions of a file, in a folder beside it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::content::{self, FileContent, Stamp};
use crate::{FileError, look};

const NAME_BYTES_MAX: usize = 64;
/// Begins the name of a version that is being written.
const UNFINISHED: &str = ".tmp-";

/// The folder. Each version lies in a file `NUMBER-NAME`; the greater number is the newer one, whatever
/// the clock said.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    bytes_max: usize,
    versions_max: usize,
}

struct Kept {
    number: u64,
    name: String,
    path: PathBuf,
}

impl Shelf {
    pub(crate) fn beside(file: &Path, bytes_max: usize, versions_max: usize) -> Self {
        let mut folder = file.as_os_str().to_owned();
        folder.push(".versions");
        Self { folder: folder.into(), bytes_max, versions_max }
    }

    /// Keeps `bytes` as the newest version, and no more than the bound of them.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        check_name(name)?;
        if bytes.len() > self.bytes_max {
            return Err(FileError::TooLarge {
                path: self.folder.join(name),
                bytes: bytes.len() as u64,
                bytes_max: self.bytes_max,
            });
        }
        self.prepare()?;
        let file = self.write(bytes).map_err(|error| self.error(error))?;
        let path = self.next(name)?;
        // A version of the same number was there only if somebody put it there: it is not ours to replace.
        file.persist_noclobber(&path).map_err(|error| FileError::from_io(&path, error.error))?;
        sync_folder(&self.folder).map_err(|error| self.error(error))?;
        self.prune()
    }

    /// Takes over the file at `from`, which must lie on the same file system.
    pub(crate) fn adopt(&self, from: &Path, name: &str) -> Result<(), FileError> {
        check_name(name)?;
        self.prepare()?;
        let path = self.next(name)?;
        fs::rename(from, &path).map_err(|error| FileError::from_io(&path, error))?;
        sync_folder(&self.folder).map_err(|error| self.error(error))?;
        self.prune()
    }

    pub(crate) fn version(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        check_name(name)?;
        let Some(kept) = self.kept()?.into_iter().find(|kept| kept.name == name) else {
            return Ok(None);
        };
        match content::take(&kept.path, self.bytes_max)? {
            FileContent::Present { bytes, .. } => Ok(Some(bytes)),
            FileContent::Missing => Ok(None),
        }
    }

    /// Returns the names, newest first.
    pub(crate) fn names(&self) -> Result<Vec<String>, FileError> {
        Ok(self.kept()?.into_iter().map(|kept| kept.name).collect())
    }

    /// Tells whether a version has these bytes.
    pub(crate) fn has(&self, stamp: Stamp) -> Result<bool, FileError> {
        Ok(self.kept()?.iter().any(|kept| {
            content::take(&kept.path, self.bytes_max)
                .is_ok_and(|content| content.stamp() == Some(stamp))
        }))
    }

    /// Removes what a process left that was killed while it kept a version.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a leftover stays");
            }
        }
    }

    fn prepare(&self) -> Result<(), FileError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| self.error(error))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Returns where the next version belongs.
    fn next(&self, name: &str) -> Result<PathBuf, FileError> {
        let newest = self.kept()?.first().map_or(0, |kept| kept.number);
        Ok(self.folder.join(format!("{:010}-{name}", newest.saturating_add(1))))
    }

    /// Removes versions that have a newer one of the same name, and those beyond the bound.
    fn prune(&self) -> Result<(), FileError> {
        let mut names = Vec::new();
        for kept in self.kept()? {
            if names.contains(&kept.name) || names.len() >= self.versions_max.max(1) {
                fs::remove_file(&kept.path)
                    .map_err(|error| FileError::from_io(&kept.path, error))?;
            } else {
                names.push(kept.name);
            }
        }
        Ok(())
    }

    /// Returns what is there, newest first. What has no name of a version is somebody else's.
    fn kept(&self) -> Result<Vec<Kept>, FileError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if look::is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(self.error(error)),
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.error(error))?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let name = entry.file_name();
            if let Some((number, name)) = name.to_str().and_then(|name| name.split_once('-'))
                && let Ok(number) = number.parse()
                && is_file
                && check_name(name).is_ok()
            {
                kept.push(Kept { number, name: name.to_owned(), path: entry.path() });
            }
        }
        kept.sort_by(|one, other| (other.number, &other.name).cmp(&(one.number, &one.name)));
        Ok(kept)
    }

    fn error(&self, source: io::Error) -> FileError {
        FileError::from_io(&self.folder, source)
    }
}

fn check_name(name: &str) -> Result<(), FileError> {
    let is_fit = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if is_fit { Ok(()) } else { Err(FileError::Name { name: name.to_owned() }) }
}

/// Makes names in a folder survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
