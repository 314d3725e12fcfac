//! From a path to a connection that may be written to: lock, mode, integrity, schema, statements.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _, SqliteConnection, query_scalar};

use crate::error::is_corrupt;
use crate::{OpenError, StoreConfig, statements};

/// Older versions can lose a WAL that two connections reset at the same moment.
const SQLITE_REQUIRED: &str = "3.51.3";

/// `PRAGMA application_id` of this database, set by the first migration: "MESH".
const APPLICATION_ID: i64 = 0x4d45_5348;

/// How long a connection waits for another process that holds the database, such as a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Most pages of 4 KiB that SQLite can address.
const PAGES_LIMIT: u64 = u32::MAX as u64 - 1;

/// Every schema, oldest first. Released files are never edited: a changed one refuses old databases.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (1, "mesh", include_str!("../migrations/0001_mesh.sql")),
    (2, "custody", include_str!("../migrations/0002_custody.sql")),
    (3, "opened", include_str!("../migrations/0003_opened.sql")),
    (4, "pushes", include_str!("../migrations/0004_pushes.sql")),
];

/// The newest schema of this program.
pub(crate) const SCHEMA_NEWEST: u32 = match MIGRATIONS.last() {
    Some((version, ..)) => *version,
    None => 0,
};

/// An open database whose schema is this program's.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) conn: SqliteConnection,
    /// Held as long as the database is open.
    pub(crate) lock: File,
}

pub(crate) async fn open(path: &Path, config: &StoreConfig) -> Result<Opened, OpenError> {
    let lock = take_lock(path)?;
    prepare_file(path)?;
    let database = |error| database_error(path, error);
    let mut conn = writer_options(path, config).connect().await.map_err(database)?;
    check_version(path, &mut conn).await?;
    check_application(path, &mut conn).await?;
    let verdict: String =
        query_scalar("PRAGMA quick_check(1)").fetch_one(&mut conn).await.map_err(database)?;
    if verdict != "ok" {
        return Err(OpenError::Corrupt { path: path.to_owned(), detail: verdict });
    }
    migrate(path, &mut conn).await?;
    statements::check(&mut conn).await.map_err(|error| OpenError::Schema(Box::new(error)))?;
    // The check left one huge entry in the statement cache.
    sqlx::Connection::clear_cached_statements(&mut conn).await.map_err(database)?;
    Ok(Opened { conn, lock })
}

/// What both kinds of connection share. Memory is kept small: an idle agent holds three of them.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("mmap_size", "0")
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

fn writer_options(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    let pages_max = (config.database_bytes_max / 4096).clamp(1, PAGES_LIMIT);
    options(path)
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        // Without these an fsync on macOS leaves the data in the drive's cache.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("journal_size_limit", "16777216")
        .pragma("cache_size", "-1024")
        .pragma("max_page_count", pages_max.to_string())
        .statement_cache_capacity(64)
        .thread_name(|_| "mesh-store-write".to_owned())
}

pub(crate) fn reader_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .read_only(true)
        .pragma("cache_size", "-256")
        .statement_cache_capacity(16)
        // Rows may carry bodies of a megabyte; a reader that stops early must not have read many ahead.
        .row_buffer_size(8)
        .thread_name(|_| "mesh-store-read".to_owned())
}

/// One process, one writer: sequences and counts live in its memory. The lock is a file of its own,
/// because closing any descriptor of the database would drop SQLite's locks on it.
fn take_lock(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let file_error = |source| OpenError::File { path: lock_path.clone(), source };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(file_error)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

/// Creates the file with its mode, before SQLite would do so with a looser one; the files beside it
/// (`-wal`, `-shm`) get the same mode from SQLite.
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let file_error = |source| OpenError::File { path: path.to_owned(), source };
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(file_error)?;
            return sync_folder(path).map_err(file_error);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_error(error)),
    }
    let mode = path.metadata().map_err(file_error)?.permissions().mode() & 0o777;
    if mode != 0o600 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "the database was open to others, closing it");
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::set_permissions(&name, Permissions::from_mode(0o600)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file_error(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Makes the name of a new file as durable as its content.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn database_error(path: &Path, error: sqlx::Error) -> OpenError {
    if is_corrupt(&error) {
        OpenError::Corrupt { path: path.to_owned(), detail: error.to_string() }
    } else {
        OpenError::Database(Box::new(error))
    }
}

async fn check_version(path: &Path, conn: &mut SqliteConnection) -> Result<(), OpenError> {
    let found: String = query_scalar("SELECT sqlite_version()")
        .fetch_one(conn)
        .await
        .map_err(|error| database_error(path, error))?;
    if numbers(&found) < numbers(SQLITE_REQUIRED) {
        return Err(OpenError::SqliteTooOld { found, required: SQLITE_REQUIRED });
    }
    Ok(())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

async fn check_application(path: &Path, conn: &mut SqliteConnection) -> Result<(), OpenError> {
    let database = |error| database_error(path, error);
    let application: i64 =
        query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await.map_err(database)?;
    let objects: i64 = query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(conn)
        .await
        .map_err(database)?;
    // A creation that was cut short leaves an empty file, or one with sqlx's own table at most.
    if application == APPLICATION_ID || (application == 0 && objects <= 1) {
        Ok(())
    } else {
        Err(OpenError::Foreign { path: path.to_owned() })
    }
}

async fn migrate(path: &Path, conn: &mut SqliteConnection) -> Result<(), OpenError> {
    let database = |error| database_error(path, error);
    let has_history: i64 =
        query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *conn)
            .await
            .map_err(database)?;
    let ours = SCHEMA_NEWEST;
    if has_history != 0 {
        let theirs: Option<i64> = query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *conn)
            .await
            .map_err(database)?;
        let theirs = u32::try_from(theirs.unwrap_or(0)).unwrap_or(u32::MAX);
        if theirs > ours {
            return Err(OpenError::NewerSchema { theirs, ours });
        }
    }
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(i64::from(version), name.into(), kind, sql.into_sql_str(), false)
    });
    // Not `run`, of whose future the compiler cannot show that it is `Send`: programs start nodes in tasks.
    Migrator::with_migrations(migrations.collect())
        .run_direct(None, conn, false)
        .await
        .map_err(|error| OpenError::Migrate(Box::new(error)))
}

#[cfg(test)]
mod tests;
