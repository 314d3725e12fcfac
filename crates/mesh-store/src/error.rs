use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_protocol::ErrorCode;

/// Why the database cannot be opened. Nothing in it was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be created, read or given its mode.
    #[error("cannot prepare {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the database open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// Which database.
        path: PathBuf,
    },
    /// The program was linked against an SQLite with a known corruption bug.
    #[error("SQLite {found} is older than {required}, which this program needs")]
    SqliteTooOld {
        /// The version that was found.
        found: String,
        /// The oldest version that will do.
        required: &'static str,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is not a mesh database", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file is damaged or no database at all. Restore a backup.
    #[error("{} is damaged: {detail}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What SQLite found first.
        detail: String,
    },
    /// A newer program has been here. Use that one; going back is not possible.
    #[error(
        "the database has schema {theirs}, this program knows schemas up to {ours}; nothing was changed: \
         install the newer program again, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// The schema of the database.
        theirs: u32,
        /// The newest schema of this program.
        ours: u32,
    },
    /// A migration failed. It was rolled back; those before it have been applied.
    #[error("the database cannot be brought to the schema of this program")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// A statement of this program does not fit the schema: somebody altered the database.
    #[error("the tables are not those of this program")]
    Schema(#[source] Box<sqlx::Error>),
    /// SQLite refused for another reason.
    #[error("the database cannot be opened")]
    Database(#[source] Box<sqlx::Error>),
    /// What is in the database cannot be read.
    #[error("the content of the database cannot be read")]
    Content(#[source] StoreError),
}

/// Why an operation failed. Unless a variant says otherwise, nothing of it was written.
///
/// Cheap to clone: when a commit fails, everything in it fails with the same error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store was closed, before or during the operation; in the latter case it may have happened.
    #[error("the store is closed")]
    Closed,
    /// The disk is full, or the database has reached its largest size.
    #[error("the disk is full or the database has reached its largest size")]
    Full {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// SQLite refused.
    #[error("the database refused")]
    Database {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A row does not hold what this program writes.
    #[error("the database holds a malformed {what}")]
    Malformed {
        /// Which value.
        what: &'static str,
    },
    /// A value exceeds its bound.
    #[error("{what} exceeds {bytes_max} bytes")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its bound.
        bytes_max: usize,
    },
    /// A table or list has reached its bound.
    #[error("more than {count_max} {what}")]
    TooMany {
        /// Which things.
        what: &'static str,
        /// Their bound.
        count_max: usize,
    },
    /// Two rows of one call claim the same hostname or the same peer.
    #[error("two peers are called {hostname}, or one peer is listed twice")]
    PeerTwice {
        /// The name.
        hostname: String,
    },
    /// The file that a backup was to be written to exists; it was not touched.
    #[error("the file of the backup exists")]
    BackupExists,
    /// The backup's file cannot be written; what was written of it was deleted.
    #[error("the backup cannot be written")]
    BackupFile {
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
mod sqlite_code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Whether the file is not a sound database.
pub(crate) fn is_corrupt(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(sqlite_code::CORRUPT | sqlite_code::NOTADB))
}

impl StoreError {
    /// Whether the disk or file is at fault rather than one operation: the neighbours in the same commit
    /// would fail too, so trying each by itself is of no use.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Closed => true,
            Self::Database { source } => match primary_code(source) {
                // No code at all: the connection itself is gone.
                None => true,
                Some(code) => matches!(
                    code,
                    sqlite_code::BUSY
                        | sqlite_code::NOMEM
                        | sqlite_code::READONLY
                        | sqlite_code::IOERR
                        | sqlite_code::CORRUPT
                        | sqlite_code::CANTOPEN
                        | sqlite_code::NOTADB
                ),
            },
            Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::PeerTwice { .. }
            | Self::BackupExists
            | Self::BackupFile { .. } => false,
        }
    }

    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Closed => ErrorCode::ShuttingDown,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::TooMany { .. } => ErrorCode::QueueFull,
            Self::PeerTwice { .. } => ErrorCode::HostnameTaken,
            Self::Full { .. }
            | Self::Database { .. }
            | Self::Malformed { .. }
            | Self::BackupExists
            | Self::BackupFile { .. } => ErrorCode::StorageError,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_full = primary_code(&error) == Some(sqlite_code::FULL);
        let source = Arc::new(error);
        if is_full { Self::Full { source } } else { Self::Database { source } }
    }
}
