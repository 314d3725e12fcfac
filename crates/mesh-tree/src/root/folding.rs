//! Whether a file system takes different names for the same one. Asked of the file system itself: what
//! is the same there differs between them, and between their versions.

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::folder::Folder;

/// Pairs that are one name where case, or the composition of letters, does not count.
const PAIRS: [(&[u8], &[u8]); 2] =
    [(b"folding-a", b"FOLDING-A"), ("folding-\u{e9}".as_bytes(), "folding-e\u{301}".as_bytes())];

pub(super) fn is_folding(own: &Folder) -> Result<bool, Errno> {
    for (name, other) in PAIRS {
        own.own_file(name, OFlags::CREATE)?;
        let is_same = own.has(other);
        own.unlink(name)?;
        if is_same? {
            return Ok(true);
        }
    }
    Ok(false)
}
