//! When what was committed is on the disk.
//!
//! What members sent is committed without waiting for the disk: a power cut may take it back, and they
//! still have it, as long as they were not told that it is here. So one wait for the disk serves many
//! commits, and what this database is said to have is what a power cut leaves. SQLite writes its WAL from the
//! front to the back, so what is on the disk is always everything up to some commit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::raw_sql;
use tokio::task::spawn_blocking;

use crate::TablesError;
use crate::desk::Desk;
use crate::sql::{Columns, fetch_optional};

/// When a transaction has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the commit returns, with everything before it.
    AtOnce,
    /// Before anybody is told of it.
    Later,
}

/// What it takes to wait for the disk.
pub(crate) trait Disk: Send + Sync {
    /// Returns when everything that was committed before the call is on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// The WAL of a database.
pub(crate) struct Wal {
    path: PathBuf,
}

impl Wal {
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into() }
    }
}

impl Disk for Wal {
    /// SQLite holds no lock on this file that closing it could give up. Before it removes the file or
    /// begins it anew, it brings what is in it to the database and waits for the disk itself.
    fn sync(&self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

async fn sync(disk: Arc<dyn Disk>) -> io::Result<()> {
    spawn_blocking(move || disk.sync()).await.map_err(io::Error::other)?
}

impl Desk {
    /// Says when the next transaction has to be on the disk.
    pub(crate) async fn be_durable(&mut self, when: Durability) -> Result<(), TablesError> {
        if when == Durability::Later && self.is_unsure {
            self.secure().await?;
        }
        if self.durability == when {
            return Ok(());
        }
        // SQLite obeys while it compiles: a statement that is kept would do nothing the second time.
        let sql = match when {
            Durability::AtOnce => "PRAGMA synchronous = FULL",
            Durability::Later => "PRAGMA synchronous = NORMAL",
        };
        raw_sql(sql).execute(&mut self.conn).await?;
        self.durability = when;
        Ok(())
    }

    /// Waits until everything that was committed is on the disk. Must not be called with something written
    /// and not committed.
    pub(crate) async fn secure(&mut self) -> Result<(), TablesError> {
        if self.is_unsure {
            // The system may say once only that it lost what it was to write: all of it is written again.
            let row = fetch_optional(&mut self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
            let is_busy = row.map_or(Ok(true), |row| Columns::of(&row).flag())?;
            if is_busy {
                let busy = io::Error::new(io::ErrorKind::ResourceBusy, "the WAL is being read");
                return Err(sqlx::Error::Io(busy).into());
            }
        } else if !self.is_on_disk
            && let Err(error) = sync(Arc::clone(&self.disk)).await
        {
            self.is_unsure = true;
            return Err(sqlx::Error::Io(error).into());
        }
        self.is_unsure = false;
        self.is_on_disk = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
