//! Files of sources, found again by their places after a walk.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mesh_protocol::RelativePath;

use crate::folder::{Folder, Nearest};
use crate::local::LocalFile;
use crate::path::split;
use crate::{Refusal, Source, TreeError};

/// Opens files of sources by their places. A source that is a folder is opened once; beneath it no symbolic link is
/// followed.
#[derive(Debug)]
pub struct Sources {
    sources: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    source: Source,
    top: Option<Folder>,
    /// Where the last file was: the next one mostly lies there, too.
    nearest: Nearest,
}

impl Sources {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let opened = |source| Opened { source, top: None, nearest: Nearest::default() };
        Self { sources: sources.into_iter().map(opened).collect() }
    }

    /// Opens the file that has this place, for reading.
    ///
    /// # Errors
    /// [`TreeError::Refused`] when no source has the place, or something other than a file stands there; else the
    /// system's.
    pub fn open(&mut self, place: &RelativePath) -> Result<LocalFile, TreeError> {
        let refused = || TreeError::refused(place.as_bytes(), Refusal::Root);
        let Opened { source, top, nearest } = self
            .sources
            .iter_mut()
            .find(|opened| place.starts_with(&opened.source.name))
            .ok_or_else(refused)?;
        let path = source.path.as_os_str().as_bytes();
        let rest = place.as_bytes().get(source.name.as_bytes().len()..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        if rest.is_empty() {
            // A file that is a source itself is looked for in its folder.
            let (folder, name) = split(path);
            let folder = match folder {
                None => Path::new("."),
                Some(b"") => Path::new("/"),
                Some(folder) => Path::new(OsStr::from_bytes(folder)),
            };
            return LocalFile::open(&open(source, folder)?, name);
        }
        let top = match top {
            Some(top) => top,
            None => top.insert(open(source, &source.path)?),
        };
        LocalFile::open_near(top, nearest, rest)
    }
}

/// Opens a folder that a source is, or lies in.
pub(crate) fn open(source: &Source, folder: &Path) -> Result<Folder, TreeError> {
    let top =
        |path: &Path| Folder::top(path).map_err(|error| TreeError::at_std(path)(error.into()));
    let Some(beneath) = &source.beneath else { return top(folder) };
    let path = folder.as_os_str().as_bytes();
    let within = folder
        .strip_prefix(beneath)
        .map_err(|_| TreeError::refused(path, Refusal::Root))?
        .as_os_str()
        .as_bytes();
    let top = top(beneath)?;
    if within.is_empty() {
        return Ok(top);
    }
    top.parent(Some(within)).map_err(TreeError::at(within))
}
