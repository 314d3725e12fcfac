//! What is done with names as they are: bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mesh_protocol::{PushId, RelativePath};

/// Linux takes no longer target of a symbolic link.
const TARGET_BYTES_MAX: usize = 4095;

/// Splits off the last name; no folder when it lies in the root itself.
pub(crate) fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.split_at_checked(at)) {
        Some((folder, name)) => (Some(folder), name.strip_prefix(b"/").unwrap_or(name)),
        None => (None, path),
    }
}

/// Makes a path fit for people.
pub(crate) fn shown(path: &[u8]) -> String {
    match RelativePath::parse(path) {
        Ok(path) => path.to_string(),
        Err(_) => path.escape_ascii().to_string(),
    }
}

/// A name as the standard library takes it.
pub(crate) fn native(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// The name of the folder that belongs to a push.
pub(crate) fn name_of(push: PushId) -> Vec<u8> {
    push.to_string().into_bytes()
}

/// Reads such a name.
pub(crate) fn push_of(name: &[u8]) -> Option<PushId> {
    let push: PushId = std::str::from_utf8(name).ok()?.parse().ok()?;
    (name_of(push) == name).then_some(push)
}

/// Tells whether a link at `path` with this target stays beneath the root, whatever the names in it are.
///
/// `..` may only come first: behind a name it leads out of whatever a link of that name points to.
pub(crate) fn stays_inside(path: &RelativePath, target: &[u8]) -> bool {
    let is_fit = (1..=TARGET_BYTES_MAX).contains(&target.len())
        && !target.contains(&0)
        && !target.starts_with(b"/");
    if !is_fit {
        return false;
    }
    let mut ups_left = path.depth().saturating_sub(1);
    let mut has_name = false;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if has_name || ups_left == 0 => return false,
            b".." => ups_left -= 1,
            _ => has_name = true,
        }
    }
    true
}
