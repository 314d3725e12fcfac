//! The socket's file: how it appears, whom it may replace, and how it goes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::BindError;

/// Longest path in a socket address: `sun_path` without its final zero.
const PATH_BYTES_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// How often a name that reappears while it is being replaced is looked at again.
const ATTEMPTS_MAX: usize = 4;

/// The file of a listening socket; removed with this value, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "removing the control socket failed");
        }
    }
}

/// Opens a listening socket at `path` that nobody but this user could ever connect to.
///
/// The socket is born in a directory of mode 0700 beside `path`, gets its own mode there, and is
/// then linked to its name, which fails when the name is taken. So there is no moment at which it
/// is open to others, and no moment at which it can push another agent's socket aside.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    check_length(path)?;
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let staging = tempfile::Builder::new()
        .prefix(".")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(directory)
        .map_err(failed)?;
    let staged = staging.path().join("s");
    check_length(&staged)?;
    let listener = UnixListener::bind(&staged).map_err(failed)?;
    fs::set_permissions(&staged, Permissions::from_mode(0o600)).map_err(failed)?;
    for _ in 0..ATTEMPTS_MAX {
        match fs::hard_link(&staged, path) {
            Ok(()) => return Ok((listener, SocketFile::new(path).map_err(failed)?)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(source)),
        }
        clear_name(path, &staging).await?;
    }
    Err(BindError::InUse { path: path.to_owned() })
}

/// Frees `path` when the agent that it belonged to is gone.
async fn clear_name(path: &Path, staging: &TempDir) -> Result<(), BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    let in_use = || BindError::InUse { path: path.to_owned() };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    }
    if is_answered(path).await {
        return Err(in_use());
    }
    // Between the question and this line another agent may have taken the name. Moving the file
    // away first and asking it again decides the race without a lock.
    let aside = staging.path().join("old");
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    }
    if is_answered(&aside).await {
        fs::hard_link(&aside, path).map_err(failed)?;
        return Err(in_use());
    }
    fs::remove_file(&aside).map_err(failed)
}

/// Whether anybody listens. Only a refusal says nobody does: a full queue or a lack of permission
/// is no proof that the agent is gone.
async fn is_answered(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
    }
}

fn check_length(path: &Path) -> Result<(), BindError> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes <= PATH_BYTES_MAX {
        return Ok(());
    }
    Err(BindError::PathTooLong { path: path.to_owned(), bytes, bytes_max: PATH_BYTES_MAX })
}
