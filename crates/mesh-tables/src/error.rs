use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_protocol::ErrorCode;

/// Why the database cannot be opened. Nothing in it was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TablesOpenError {
    /// The file or its folder cannot be created, read or given its mode.
    #[error("cannot prepare {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is not a database of replicated tables", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
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
    /// SQLite refused: the file is damaged, or no database at all.
    #[error("{} cannot be opened", path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// What is in the database cannot be read.
    #[error("the content of the database cannot be read")]
    Content(#[source] TablesError),
}

/// What an operation can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A replicated table.
    Table,
    /// A loser of a conflict.
    Conflict,
    /// A place in the log that is still kept.
    Position,
}

impl Thing {
    const fn code(self) -> ErrorCode {
        match self {
            Self::Table => ErrorCode::UnknownTable,
            Self::Conflict => ErrorCode::UnknownConflict,
            Self::Position => ErrorCode::PositionGone,
        }
    }
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Conflict => "conflict",
            Self::Position => "position",
        })
    }
}

/// Why an operation failed. Unless a variant says otherwise, nothing of it was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TablesError {
    /// The database was closed, before or during the operation; in the latter case it may have happened.
    #[error("the database is closed")]
    Closed,
    /// The disk is full, or the database has reached its largest size.
    #[error("the disk is full or the database has reached its largest size")]
    Full {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The file cannot be written.
    #[error("the database is on a file system that cannot be written")]
    ReadOnly {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// Another program keeps the database locked.
    #[error("another program keeps the database locked")]
    Busy {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A snapshot is being taken in: a write would rest on rows of which this database cannot say yet that it knows them.
    #[error("the tables are being taken over from a member")]
    TakingOver,
    /// A constraint of a table forbids it.
    #[error("{detail}")]
    Constraint {
        /// Which one, as SQLite names it.
        detail: String,
    },
    /// The statement is not SQL, or names what is not there.
    #[error("{detail}")]
    Statement {
        /// What SQLite said.
        detail: String,
    },
    /// The statement or table is of a kind that is not allowed here.
    #[error("{reason}")]
    Refused {
        /// Why, and what would do.
        reason: String,
    },
    /// There is no such table, conflict, position, …
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// What kind of thing.
        what: Thing,
        /// As it was named.
        name: String,
    },
    /// The query or write ran longer than it may.
    #[error(
        "the {} was stopped after {seconds} seconds{}",
        if *is_write { "write" } else { "query" },
        if *is_write { "; nothing was written" } else { "" }
    )]
    TookTooLong {
        /// Whether it was a write.
        is_write: bool,
        /// Its bound.
        seconds: u64,
    },
    /// The query has more rows than it may; the first of them were returned.
    #[error("the query has more than {rows_max} rows")]
    TooManyRows {
        /// The bound.
        rows_max: u64,
    },
    /// SQLite refused for another reason.
    #[error("the database refused")]
    Database {
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A row of the bookkeeping does not hold what this program writes.
    #[error("the bookkeeping holds a malformed {what}")]
    Malformed {
        /// Which value.
        what: &'static str,
    },
    /// The file of a backup cannot be read or written.
    #[error("the file cannot be read or written")]
    File {
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
pub(crate) mod sqlite_code {
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const NOMEM: i32 = 7;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const TOO_BIG: i32 = 18;
    pub(crate) const CONSTRAINT: i32 = 19;
    pub(crate) const MISMATCH: i32 = 20;
    pub(crate) const AUTH: i32 = 23;
    pub(crate) const NOTADB: i32 = 26;
}

/// SQLite's primary result code; none when the error is not SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

impl TablesError {
    /// Whether the disk is at fault rather than one operation: it may do better later.
    #[must_use]
    pub const fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::ReadOnly { .. } | Self::Busy { .. } | Self::Closed)
    }

    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Closed => ErrorCode::ShuttingDown,
            Self::Constraint { .. } => ErrorCode::ConstraintFailed,
            Self::Statement { .. } => ErrorCode::StatementInvalid,
            Self::Refused { .. } => ErrorCode::StatementRefused,
            Self::Unknown { what, .. } => what.code(),
            Self::TookTooLong { .. } => ErrorCode::QueryTooLong,
            Self::TooManyRows { .. } => ErrorCode::TooManyRows,
            Self::Full { .. } => ErrorCode::DiskFull,
            Self::ReadOnly { .. } => ErrorCode::ReadOnly,
            Self::TakingOver => ErrorCode::RateLimited,
            Self::Busy { .. }
            | Self::Database { .. }
            | Self::Malformed { .. }
            | Self::File { .. } => ErrorCode::StorageError,
        }
    }
}

impl From<sqlx::Error> for TablesError {
    fn from(error: sqlx::Error) -> Self {
        let code = primary_code(&error);
        match code {
            Some(sqlite_code::CONSTRAINT) => Self::Constraint { detail: message(&error) },
            Some(sqlite_code::ERROR) => Self::Statement { detail: message(&error) },
            Some(sqlite_code::FULL) => Self::Full { source: Arc::new(error) },
            Some(sqlite_code::READONLY) => Self::ReadOnly { source: Arc::new(error) },
            Some(sqlite_code::BUSY) => Self::Busy { source: Arc::new(error) },
            Some(_) | None => Self::Database { source: Arc::new(error) },
        }
    }
}
