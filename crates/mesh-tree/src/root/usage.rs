//! How much lies in a root, and whether more may.

use std::sync::PoisonError;

use rustix::io::Errno;

use super::{OWN, Root, STAGING};
use crate::folder::Folder;
use crate::staging::VIEW;
use crate::{Kind, TreeError};

/// Where much more is free, the disk is not asked again before so much was taken.
const UNASKED_BYTES_MAX: u64 = 16 << 20;
/// What a file takes beside its bytes, at most.
const FILE_BYTES: u64 = 8 << 10;

/// What is known of a root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    usage: Usage,
    /// What may be taken without asking the disk.
    unasked: u64,
}

/// How much lies somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the files.
    pub bytes: u64,
    /// Files, folders and links.
    pub files: u64,
}

impl Usage {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }
}

impl Root {
    /// Counts everything in the root; what lies on other file systems does not count.
    ///
    /// # Errors
    /// The system's.
    pub fn usage(&self) -> Result<Usage, TreeError> {
        usage_of(&self.0.top, b"")
    }

    /// Takes `more` into account, if the quota and the disk have room for it.
    ///
    /// What others put there is counted once more before anything is refused.
    pub(crate) fn reserve(&self, path: &[u8], more: Usage) -> Result<(), TreeError> {
        let config = self.0.config;
        let mut known = self.0.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unasked = known.as_ref().map_or(0, |known| known.unasked);
        let fits =
            |usage: Usage| usage.bytes <= config.bytes_max && usage.files <= config.files_max;
        let mut wanted = match *known {
            Some(Known { usage, .. }) => usage.plus(more),
            None => self.usage()?.plus(more),
        };
        if !fits(wanted) && known.is_some() {
            wanted = self.usage()?.plus(more);
        }
        if wanted.bytes > config.bytes_max {
            return Err(TreeError::Quota {
                what: "bytes",
                wanted: wanted.bytes,
                max: config.bytes_max,
            });
        }
        if wanted.files > config.files_max {
            return Err(TreeError::Quota {
                what: "files",
                wanted: wanted.files,
                max: config.files_max,
            });
        }
        let takes = more.bytes.saturating_add(FILE_BYTES);
        if takes > unasked {
            let disk = rustix::fs::fstatvfs(&self.0.top).map_err(TreeError::at(path))?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let left = free.checked_sub(more.bytes.saturating_add(config.free_bytes_min));
            let Some(left) = left else {
                return Err(TreeError::Full {
                    path: crate::path::shown(path),
                    source: std::io::ErrorKind::StorageFull.into(),
                });
            };
            unasked = UNASKED_BYTES_MAX.min(left / 64).saturating_add(takes);
        }
        *known = Some(Known { usage: wanted, unasked: unasked - takes });
        Ok(())
    }
}

/// A view holds second names of what counts already.
fn is_view(path: &[u8]) -> bool {
    let names: Vec<&[u8]> = path.splitn(5, |byte| *byte == b'/').collect();
    matches!(&*names, [OWN, STAGING, _, VIEW])
}

/// Counts what lies in `path`, one folder open at a time, however deep it goes.
pub(crate) fn usage_of(top: &Folder, path: &[u8]) -> Result<Usage, TreeError> {
    let mut usage = Usage::default();
    let mut left = vec![path.to_vec()];
    while let Some(path) = left.pop() {
        if is_view(&path) {
            continue;
        }
        let at = TreeError::at(&path);
        let folder = match top.parent(Some(&*path).filter(|path| !path.is_empty())) {
            Ok(folder) => folder,
            // Gone or something else meanwhile, or mounted.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => continue,
            Err(error) => return Err(at(error)),
        };
        for name in folder.names().map_err(&at)? {
            let name = name.map_err(&at)?;
            let Some(facts) = folder.look(&name).map_err(&at)? else { continue };
            usage.files += 1;
            if facts.kind == Kind::File {
                usage.bytes = usage.bytes.saturating_add(facts.size);
            }
            if facts.kind == Kind::Folder {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                left.push([&path, slash, &name].concat());
            }
        }
    }
    Ok(usage)
}
