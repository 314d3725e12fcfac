//! Looking at many files of a root, one after the other.

use mesh_protocol::RelativePath;
use rustix::io::Errno;

use super::Root;
use crate::folder::Folder;
use crate::local::LocalFile;
use crate::path::split;
use crate::{Facts, TreeError};

/// Looks at files of a root. The folder that the last one lay in stays open: the next one mostly lies there, too.
///
/// Meant for one pass over paths in their order: what becomes of a folder that is open is not noticed.
#[derive(Debug)]
pub struct RootReader {
    root: Root,
    open: Option<(Vec<u8>, Result<Folder, Errno>)>,
}

impl Root {
    /// Returns a reader of it.
    #[must_use]
    pub fn reader(&self) -> RootReader {
        RootReader { root: self.clone(), open: None }
    }
}

impl RootReader {
    /// As [`Root::look`].
    ///
    /// # Errors
    /// As [`Root::look`].
    pub fn look(&mut self, path: &RelativePath) -> Result<Option<Facts>, TreeError> {
        self.root.allow(path)?;
        let at = TreeError::at(path.as_bytes());
        let (folder, name) = split(path.as_bytes());
        match self.folder(folder) {
            Ok(folder) => folder.look(name).map_err(at),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(at(error)),
        }
    }

    /// As [`Root::file`].
    ///
    /// # Errors
    /// As [`Root::file`].
    pub fn file(&mut self, path: &RelativePath) -> Result<LocalFile, TreeError> {
        self.root.allow(path)?;
        let path = path.as_bytes();
        let (folder, name) = split(path);
        let folder = self.folder(folder).map_err(TreeError::at(path))?;
        LocalFile::open_called(folder, name, path)
    }

    fn folder(&mut self, path: Option<&[u8]>) -> Result<&Folder, Errno> {
        let wanted = path.unwrap_or_default();
        if self.open.as_ref().is_none_or(|(open, _)| open != wanted) {
            self.open = Some((wanted.to_vec(), self.root.0.top.parent(path)));
        }
        match &self.open {
            Some((_, Ok(folder))) => Ok(folder),
            Some((_, Err(error))) => Err(*error),
            None => Err(Errno::NOENT),
        }
    }
}
