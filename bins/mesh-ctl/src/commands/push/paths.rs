//! What a path on the command line means to the agent, which stands in another folder.

use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use mesh_control::ApiError;
use mesh_protocol::ErrorCode;

use crate::exit::Failure;
use crate::text::plain;

/// The same path from the root of the file system. A `/` at its end stays, since it has a meaning.
pub(in crate::commands) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let found = match path.symlink_metadata() {
        Ok(_) => resolve(path),
        Err(error) => Err(error),
    };
    found.map_err(|error| {
        let shown = plain(&path.to_string_lossy());
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let code = if is_missing { ErrorCode::NotFound } else { ErrorCode::StorageError };
        let message = format!("{shown} cannot be read: {error}; nothing was pushed");
        ApiError::new(code, message, "name files and folders of this machine").into()
    })
}

/// A place beneath a root without the dots that people put before it; none is the root itself.
pub(in crate::commands) fn beneath(path: &Path) -> Option<PathBuf> {
    let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    Some(plain).filter(|path| !path.as_os_str().is_empty())
}

fn resolve(named: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(named)?;
    // What lies in the folder, as with a `/` at the end.
    if named.as_os_str().as_bytes().ends_with(b"/.") {
        path.push("");
    }
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if !climbs {
        return Ok(path);
    }
    // A name that is a link stays one; the way to it may be any other that leads there.
    let resolved = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
        _ => path.canonicalize()?,
    };
    let mut bytes = resolved.into_os_string().into_vec();
    if path.as_os_str().as_bytes().ends_with(b"/") && !bytes.ends_with(b"/") {
        bytes.push(b'/');
    }
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests;
