//! A copy of the database in one file, made while it is in use.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::columns::Value;
use crate::open::sync_folder;
use crate::query::execute;
use crate::statements::statements;
use crate::{Store, StoreError};

statements! {
    VACUUM_INTO = "VACUUM INTO ?";
    // The receivers have seen sequences that this copy does not know of. An outbox restored from it has
    // to number anew under another name, or new messages would be taken for old ones.
    FORGET_STREAM = "UPDATE counters SET outbox_stream = NULL WHERE id = 1";
}

fn file_error(source: io::Error) -> StoreError {
    if source.kind() == io::ErrorKind::AlreadyExists {
        StoreError::BackupExists
    } else {
        StoreError::BackupFile { source: Arc::new(source) }
    }
}

impl Store {
    /// Writes a copy of the database, mode 0600, to the new file `to`. Others go on reading and writing.
    ///
    /// A database restored from it sends what waits in its outbox under a new stream; receivers
    /// recognise what they had by message id.
    ///
    /// # Errors
    /// [`StoreError::BackupExists`] when the file exists, which is left alone;
    /// [`StoreError::BackupFile`] or what SQLite refused, and the file is gone again.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let Some(name) = to.to_str() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(file_error(source));
        };
        self.flush().await?;
        // SQLite fills an empty file, and leaves its mode alone.
        let created = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
        drop(created.map_err(file_error)?);
        let result = self.write_backup(to, name).await;
        if result.is_err()
            && let Err(error) = std::fs::remove_file(to)
        {
            tracing::warn!(%error, "half a backup could not be deleted");
        }
        result
    }

    async fn write_backup(&self, to: &Path, name: &str) -> Result<(), StoreError> {
        let target = Value::text(name);
        self.read(move |conn| {
            Box::pin(async move { execute(conn, VACUUM_INTO, [target]).await.map(drop) })
        })
        .await?;
        let mut copy =
            SqliteConnectOptions::new().filename(to).disable_statement_logging().connect().await?;
        execute(&mut copy, FORGET_STREAM, []).await?;
        copy.close().await?;
        File::open(to).and_then(|file| file.sync_all()).map_err(file_error)?;
        sync_folder(to).map_err(file_error)
    }
}
