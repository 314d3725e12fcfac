//! A copy of the database in one file, made while it is in use.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use mesh_protocol::SqlValue;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::open::reader_options;
use crate::sql::execute;
use crate::{Tables, TablesError};

/// The copy's next transactions would have numbers that the database itself gives to others: it remembers
/// whose they were, and takes a new origin when it is opened.
const FORGET_ORIGIN: &str = "UPDATE mesh_state SET former = origin, origin = NULL WHERE id = 1";

fn file_error(source: io::Error) -> TablesError {
    TablesError::File { source: Arc::new(source) }
}

impl Tables {
    /// Writes a copy of the database, mode 0600, to the new file `to`. Others go on reading and writing.
    ///
    /// A database that is opened from it is another one than this: it continues with an origin of its own.
    ///
    /// # Errors
    /// [`TablesError::File`] when the file exists, which is left alone, or cannot be written; or what
    /// SQLite refused. The file is gone again then.
    pub async fn backup(&self, to: &Path) -> Result<(), TablesError> {
        let Some(name) = to.to_str() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(file_error(source));
        };
        // SQLite fills an empty file, and leaves its mode alone.
        let created = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
        drop(created.map_err(file_error)?);
        let half = Half(Some(to));
        self.write_backup(to, name).await?;
        half.keep();
        Ok(())
    }

    async fn write_backup(&self, to: &Path, name: &str) -> Result<(), TablesError> {
        // Not one of the readers: they may not write at all, and it is busy for long.
        let options = reader_options(self.path()).pragma("query_only", "OFF");
        let mut conn = options.connect().await?;
        execute(&mut conn, "VACUUM INTO ?", [SqlValue::Text(name.to_owned())]).await?;
        conn.close().await?;
        let options = SqliteConnectOptions::new().filename(to).disable_statement_logging();
        let mut copy = options.connect().await?;
        execute(&mut copy, FORGET_ORIGIN, []).await?;
        copy.close().await?;
        File::open(to).and_then(|file| file.sync_all()).map_err(file_error)?;
        sync_folder(to).map_err(file_error)
    }
}

/// A file that is deleted unless it becomes whole; also when whoever waits for it goes away.
struct Half<'p>(Option<&'p Path>);

impl Half<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        let Some(path) = self.0 else { return };
        // With what SQLite may have put beside it.
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            match std::fs::remove_file(file) {
                Err(error) if suffix.is_empty() || error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "half a backup could not be deleted");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Makes the name of a new file as durable as its content.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}
