//! What a process left beside the file that was killed while it replaced it.

use std::fs;
use std::path::Path;

use super::{NEW, Place, SWAP, remove};
use crate::content;
use crate::renames::Renames;

/// Returns how the names of our own files beside `path` begin.
pub(super) fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.")
}

impl<R: Renames> Place<'_, R> {
    /// Removes what is known, and keeps what may be somebody's save among the versions.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.folder()) else { return };
        let prefix = prefix(self.path);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with(&prefix) {
                continue;
            }
            let path = entry.path();
            if name.ends_with(NEW) || (name.ends_with(SWAP) && self.is_known(&path)) {
                remove(&path);
            } else if name.ends_with(SWAP) {
                self.rescue(&path);
            }
        }
    }

    /// Tells whether the bytes at `path` stand in the file itself or among its versions.
    fn is_known(&self, path: &Path) -> bool {
        let Some(stamp) = self.came_out(path) else { return false };
        let current = content::take(self.path, self.bytes_max);
        current.is_ok_and(|content| content.stamp() == Some(stamp))
            || self.shelf.has(stamp).unwrap_or(false)
    }
}
