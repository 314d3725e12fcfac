//! Whether the disk takes writes. SQLite says that a write failed, and not always why: a file beside the
//! database tells, and takes more room than a page that may have been written over.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_protocol::UnixMillis;

use crate::error::{primary_code, sqlite_code};
use crate::sql::execute;
use crate::{Tables, TablesError, seal};

/// Written to tell whether there is room: more than most transactions take.
const TRIAL_BYTES: usize = 1 << 20;

/// Written to tell why a write failed.
const PROBE_BYTES: usize = 64 << 10;

impl Tables {
    /// Tries whether the database can be written, after a write has failed. Makes a transaction of what
    /// other programs wrote, if they did.
    ///
    /// # Errors
    /// [`TablesError`] says why it cannot.
    pub async fn try_write(&self, at: UnixMillis) -> Result<(), TablesError> {
        if let Err(error) = write_beside(self.path(), TRIAL_BYTES).await {
            return Err(error.into());
        }
        self.transact(move |desk| {
            Box::pin(async move {
                seal::seal_if_dirty(desk, at).await?;
                let same = "UPDATE mesh_state SET dirty = dirty WHERE id = 1";
                execute(&mut desk.conn, same, []).await.map(drop)
            })
        })
        .await
    }
}

/// What an error of SQLite is about, as far as the system says. Others stay what they are.
pub(crate) async fn explain(path: &Path, error: TablesError) -> TablesError {
    let TablesError::Database { source } = &error else { return error };
    if !matches!(primary_code(source), Some(sqlite_code::IOERR | sqlite_code::CANTOPEN)) {
        return error;
    }
    let source = Arc::clone(source);
    match write_beside(path, PROBE_BYTES).await.map_err(|error| error.kind()) {
        Err(kind) if is_read_only(kind) => TablesError::ReadOnly { source },
        Err(kind) if is_full(kind) => TablesError::Full { source },
        Ok(()) | Err(_) => error,
    }
}

fn is_read_only(kind: io::ErrorKind) -> bool {
    kind == io::ErrorKind::ReadOnlyFilesystem
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<io::Error> for TablesError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            kind if is_read_only(kind) => {
                Self::ReadOnly { source: Arc::new(sqlx::Error::Io(error)) }
            }
            kind if is_full(kind) => Self::Full { source: Arc::new(sqlx::Error::Io(error)) },
            _ => Self::File { source: Arc::new(error) },
        }
    }
}

/// Writes a file beside the database to the disk, and takes it away again.
async fn write_beside(path: &Path, bytes: usize) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-trial");
    let beside = PathBuf::from(beside);
    let trial = move || {
        let result = File::create(&beside).and_then(|mut file| {
            // Not zeros: some file systems keep no room for those.
            file.write_all(&vec![0xa5; bytes])?;
            file.sync_all()
        });
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result.and(Err(error)),
            Ok(()) | Err(_) => result,
        }
    };
    tokio::task::spawn_blocking(trial).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
