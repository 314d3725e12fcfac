//! Everything that this node is, in one archive, and a data directory made of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use mesh_control::{ApiError, BackupStream};
use mesh_protocol::ErrorCode;
use tokio::sync::mpsc;

use crate::clock;
use crate::data_dir::{DataDir, LOCK_FILE};
use crate::error::{NodeError, StartError};
use crate::shared::Shared;

/// What is in an archive, in this order: the key first, which is small and makes the rest worth having.
const MEMBERS: [&str; 3] = ["node.key", "mesh.db", "data.db"];

/// What SQLite keeps beside a database. One that a former database left would be taken for the restored one's.
const BESIDE: [&str; 4] = ["mesh.db-wal", "mesh.db-shm", "data.db-wal", "data.db-shm"];

/// Bytes that go to the client at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Pieces that wait for the client.
const CHUNKS_WAITING: usize = 4;

/// Begins the names of folders in which copies lie until the client has them.
const FOLDER_PREFIX: &str = "backup-";

/// A block of the tar format (POSIX.1-1988, ustar).
const BLOCK: u64 = 512;

/// Copies of the databases that are deleted when nobody needs them any more.
struct Copies {
    folder: PathBuf,
}

impl Drop for Copies {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the copies of a backup could not be deleted");
        }
    }
}

/// Hands on what is written, piece by piece.
struct Outlet {
    chunks: mpsc::Sender<Result<Bytes, ApiError>>,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        let sent = self.chunks.blocking_send(Ok(chunk));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(what: &str, error: &io::Error) -> NodeError {
    NodeError::new(ErrorCode::StorageError, format!("{what}: {error}; there is no backup"))
        .with_hint("a backup needs as much room in the data directory as the databases have")
}

impl Shared {
    /// Copies both databases as they are at one moment each, and hands them out with the key. One backup at a
    /// time: the client that has its stream has to take it or to go away first.
    pub(crate) async fn backup(self: &Arc<Self>) -> Result<BackupStream, NodeError> {
        let turn = Arc::clone(&self.replication.backing_up).try_acquire_owned().map_err(|_| {
            NodeError::new(
                ErrorCode::QueueFull,
                "another backup is being made; this one was not begun",
            )
            .with_hint("wait until the other one is done, or end it")
        })?;
        let turn = Arc::new(turn);
        let folder =
            self.data_dir.path().join(format!("{FOLDER_PREFIX}{:016x}", clock::random_u64()));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| failed("no folder for the copies", &error))?;
        let copies = Copies { folder };
        let [key, mesh, data] = MEMBERS.map(|name| copies.folder.join(name));
        fs::copy(self.data_dir.path().join("node.key"), &key)
            .map_err(|error| failed("the key cannot be copied", &error))?;
        self.store.backup(&mesh).await.map_err(NodeError::storage)?;
        self.replication.tables.backup(&data).await?;
        let mut bytes_total = 2 * BLOCK;
        for name in MEMBERS {
            let size = fs::metadata(copies.folder.join(name)).map(|found| found.len());
            let size = size.map_err(|error| failed("a copy cannot be read", &error))?;
            bytes_total += BLOCK + size.next_multiple_of(BLOCK);
        }
        let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
        let copying = Arc::clone(&turn);
        let _detached = self.tasks.tracker().spawn_blocking(move || {
            let written = write_archive(&copies, Outlet { chunks: chunks.clone() });
            if let Err(error) = written {
                // A client that went away does not hear it.
                let error = failed("the archive cannot be written", &error);
                let _gone = chunks.blocking_send(Err(error.into()));
            }
            // The next one may begin when there is room for it.
            drop((copies, copying));
        });
        let chunks = stream::unfold((waiting, turn), |(mut waiting, turn)| async move {
            waiting.recv().await.map(|chunk| (chunk, (waiting, turn)))
        });
        Ok(BackupStream { bytes_total: Some(bytes_total), chunks: chunks.boxed() })
    }
}

fn write_archive(copies: &Copies, outlet: Outlet) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(CHUNK_BYTES, outlet));
    archive.mode(tar::HeaderMode::Deterministic);
    for name in MEMBERS {
        let mut file = File::open(copies.folder.join(name))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o600);
        header.set_cksum();
        archive.append_data(&mut header, name, &mut file)?;
    }
    archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.flush()
}

/// Deletes copies that a crash left behind.
pub(crate) fn sweep(data_dir: &Path) {
    let Ok(entries) = fs::read_dir(data_dir) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX) {
            drop(Copies { folder: entry.path() });
        }
    }
}

/// Why a backup was not restored. The data directory is as it was, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The archive cannot be read, or the directory not be written. New files may lie in it.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be taken: an agent runs in it, or it cannot be written. Nothing was changed.
    #[error("the data directory cannot be taken")]
    Held {
        /// Why.
        #[source]
        source: StartError,
    },
    /// The directory holds an agent already, or something of one.
    #[error("{} holds an agent already ({name} is there); nothing was changed", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// The first file of an agent that was found in it.
        name: String,
    },
    /// The file is not an archive that `mesh-ctl backup` wrote, or not all of it.
    #[error("{} is not a whole backup of an agent: {why}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Makes the data directory of an agent out of a backup. The agent that starts there is the same member as
/// before; its tables go on under a new origin, so that no number is used twice.
///
/// # Errors
/// [`RestoreError`]; a directory that holds an agent is never touched.
pub fn restore(archive: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    check_is_free(data_dir)?;
    let file = File::open(archive).map_err(at(archive))?;
    let is_new = !data_dir.exists();
    // No agent starts in it meanwhile.
    let held = DataDir::open(data_dir).map_err(|source| RestoreError::Held { source })?;
    let restored = check_is_free(data_dir).and_then(|()| unpack_all(archive, file, data_dir));
    if restored.is_err() && is_new {
        let _kept = fs::remove_file(data_dir.join(LOCK_FILE));
        // Only an empty one can be removed: what has come into it since stays.
        let _kept = fs::remove_dir(data_dir);
    }
    drop(held);
    restored
}

fn check_is_free(data_dir: &Path) -> Result<(), RestoreError> {
    let is_there = |name: &&str| data_dir.join(name).symlink_metadata().is_ok();
    match MEMBERS.iter().chain(&BESIDE).copied().find(is_there) {
        None => Ok(()),
        Some(name) => {
            Err(RestoreError::Occupied { path: data_dir.to_owned(), name: name.to_owned() })
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::File { path, source }
}

fn unpack_all(archive: &Path, file: File, data_dir: &Path) -> Result<(), RestoreError> {
    // Beside their places first: half a backup must not look like an agent.
    let folder = data_dir.join(format!("{FOLDER_PREFIX}{:016x}", clock::random_u64()));
    DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
    let copies = Copies { folder };
    let mut missing = MEMBERS.to_vec();
    let not_a_backup = |why: String| RestoreError::NotABackup { path: archive.to_owned(), why };
    let mut entries = tar::Archive::new(io::BufReader::new(file));
    for entry in entries.entries().map_err(|error| not_a_backup(error.to_string()))? {
        let entry = entry.map_err(|error| not_a_backup(error.to_string()))?;
        let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
        let place = missing.iter().position(|wanted| name.as_deref() == Some(wanted));
        let (Some(place), true) = (place, entry.header().entry_type().is_file()) else {
            return Err(not_a_backup(format!("it holds {:?}", name.unwrap_or_default())));
        };
        let name = missing.swap_remove(place);
        unpack(entry, &copies.folder.join(name))
            .map_err(|error| not_a_backup(error.to_string()))?;
    }
    if let Some(name) = missing.first() {
        return Err(not_a_backup(format!("{name} is missing")));
    }
    // The key last: beside a database and without its key nothing starts as another member.
    for name in MEMBERS.iter().skip(1).chain(MEMBERS.first()) {
        fs::rename(copies.folder.join(name), data_dir.join(name)).map_err(at(data_dir))?;
    }
    File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(at(data_dir))
}

fn unpack(mut entry: tar::Entry<'_, io::BufReader<File>>, to: &Path) -> io::Result<()> {
    let size = entry.size();
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
    let copied = io::copy(&mut entry.by_ref().take(size), &mut file)?;
    if copied < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.sync_all()
}
