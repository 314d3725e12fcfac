//! When what came out is not what was read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::{Place, remove};
use crate::FileError;
use crate::content::{self, FileContent, Stamp};
use crate::look;
use crate::renames::Renames;

/// Each round needs somebody who saves within microseconds of the last one.
const ROUNDS_MAX: usize = 16;

/// What a file is known again by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Print {
    Bytes(Stamp),
    /// A folder, a pipe, something too large or in the middle of being written: known by device and inode.
    Other(Option<(u64, u64)>),
}

impl<R: Renames> Place<'_, R> {
    /// Returns what lies at `swap` to its place, from where our content comes out again, `ours`.
    ///
    /// Somebody may save between the two exchanges: then the newest save is left in its place and the
    /// other one, which nobody has read, goes to the versions. What is removed is our own content alone.
    pub(super) fn put_back(&self, swap: &PathBuf, ours: Stamp) {
        let ours = Print::Bytes(ours);
        let mut placed = ours.clone();
        for _ in 0..ROUNDS_MAX {
            let held = self.print(swap);
            match self.renames.exchange(swap, self.path) {
                Ok(()) => {}
                // Somebody removed or renamed what stood there.
                Err(error) if look::is_absent(&error) => {
                    match self.renames.rename_new(swap, self.path) {
                        Ok(()) => return,
                        Err(_) => continue,
                    }
                }
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "a save cannot be put back");
                    break;
                }
            }
            let out = self.print(swap);
            if out == ours {
                return remove(swap);
            }
            if out == placed {
                break;
            }
            placed = held;
        }
        self.rescue(swap);
    }

    /// Keeps the file at `swap` among the versions: it holds what nobody has read.
    pub(super) fn rescue(&self, swap: &PathBuf) {
        let name = match self.print(swap) {
            Print::Bytes(stamp) => format!("rescued-{}", stamp.short()),
            Print::Other(_) => "rescued".to_owned(),
        };
        let kept = match self.shelf.adopt(swap, &name) {
            // A link leads to another file system than the one that the versions lie on.
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {
                self.carry(swap, &name)
            }
            kept => kept,
        };
        match kept {
            Ok(()) => tracing::warn!(version = name, "a save that nobody has read was kept"),
            Err(error) => {
                let path = swap.display();
                tracing::error!(%path, %error, "a save that nobody has read stays where it is");
            }
        }
    }

    fn carry(&self, swap: &PathBuf, name: &str) -> Result<(), FileError> {
        if let FileContent::Present { bytes, .. } = content::take(swap, self.bytes_max)? {
            self.shelf.keep(name, &bytes)?;
            remove(swap);
        }
        Ok(())
    }

    fn print(&self, path: &PathBuf) -> Print {
        match self.came_out(path) {
            Some(stamp) => Print::Bytes(stamp),
            None => Print::Other(
                fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino())),
            ),
        }
    }
}
