//! The data directory: who holds it, and the key file in it.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mesh_crypto::KeyFile;
use zeroize::Zeroizing;

use crate::clock;
use crate::error::StartError;

/// Locked for as long as a process holds the directory.
pub(crate) const LOCK_FILE: &str = "agent.lock";

/// A key file is a few hundred bytes; more is not one.
const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// The data directory, held by this process until it is released or dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the advisory lock: it ends with the process, however the process ends.
    lock: File,
}

/// Where the database of a data directory is.
pub(crate) fn database_in(data_dir: &Path) -> PathBuf {
    data_dir.join("mesh.db")
}

/// The replicated tables in a data directory.
pub(crate) fn tables_in(data_dir: &Path) -> PathBuf {
    data_dir.join("data.db")
}

impl DataDir {
    /// Creates the directory (mode 0700) when it is missing, and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _unreadable = (&lock).take(32).read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                return Err(StartError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Gives the directory up.
    pub(crate) fn release(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the data directory stays held until this process ends");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        database_in(&self.path)
    }

    /// The replicated tables.
    pub(crate) fn tables(&self) -> PathBuf {
        tables_in(&self.path)
    }

    /// Reads the key file, or writes a new one when this directory has no database yet.
    pub(crate) fn keys(&self) -> Result<KeyFile, StartError> {
        let path = self.path.join("node.key");
        let wrong = |why: String| StartError::KeyFile { path: path.clone(), why };
        match File::open(&path) {
            Ok(file) => {
                let mode = file.metadata().map_err(|e| wrong(e.to_string()))?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(wrong(format!(
                        "others may read it (mode {:o}); run `chmod 600` on it, and if it was exposed remove this member from the mesh and join anew",
                        mode & 0o777
                    )));
                }
                let mut text = Zeroizing::new(String::new());
                let read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
                let _bytes = read.map_err(|e| wrong(e.to_string()))?;
                KeyFile::parse(&text).map_err(|e| wrong(e.to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.database().exists() {
                    return Err(wrong(
                        "it is missing although there is a database that it belongs to; restore it from a backup, or move the directory away to start as a new peer".to_owned(),
                    ));
                }
                let keys = KeyFile::generate(&mut clock::rng());
                self.write_secret(&path, keys.encode().as_bytes())
                    .map_err(|e| wrong(e.to_string()))?;
                Ok(keys)
            }
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Writes a file of mode 0600 that is whole or absent, whatever happens meanwhile.
    fn write_secret(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        let partial = path.with_extension("partial");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let second = DataDir::open(dir.path()).unwrap_err();
        assert!(
            matches!(second, StartError::Locked { pid, .. } if pid == std::process::id().to_string())
        );
        drop(first);
        assert!(DataDir::open(dir.path()).is_ok());
    }

    #[test]
    fn the_key_file_is_private_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let first = data.keys().unwrap().node_key.peer_id();
        assert_eq!(data.keys().unwrap().node_key.peer_id(), first);
        let path = dir.path().join("node.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(data.keys(), Err(StartError::KeyFile { .. })));
    }

    #[test]
    fn a_lost_key_file_is_not_replaced_beside_a_database() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        std::fs::write(data.database(), b"something").unwrap();
        assert!(matches!(data.keys(), Err(StartError::KeyFile { .. })));
    }
}
