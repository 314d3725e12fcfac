//! From a path to connections on the replicated tables.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection, query_scalar};

use crate::{TablesConfig, TablesOpenError};

/// `PRAGMA application_id` of this database, set by the first migration: "MESD".
pub(crate) const APPLICATION_ID: i64 = 0x4d45_5344;

/// How long a connection waits for another program that holds the database, such as a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many steps of its program SQLite takes between two looks at whether a write should stop: less than a
/// millisecond, and more than most statements take.
const STEPS_PER_LOOK: i32 = 10_000;

/// Most pages of 4 KiB that SQLite can address.
const PAGES_LIMIT: u64 = u32::MAX as u64 - 1;

/// Every schema of the bookkeeping, oldest first. Released files are never edited.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (1, "tables", include_str!("../migrations/0001_tables.sql")),
    (2, "accepted", include_str!("../migrations/0002_accepted.sql")),
];

pub(crate) const SCHEMA_NEWEST: u32 = match MIGRATIONS.last() {
    Some((version, ..)) => *version,
    None => 0,
};

pub(crate) async fn open(
    path: &Path,
    config: &TablesConfig,
    stop: &Arc<AtomicBool>,
) -> Result<SqliteConnection, TablesOpenError> {
    prepare_file(path)?;
    let database =
        |source| TablesOpenError::Database { path: path.to_owned(), source: Box::new(source) };
    let mut conn = writer(path, config, stop).await.map_err(database)?;
    let application: i64 =
        query_scalar("PRAGMA application_id").fetch_one(&mut conn).await.map_err(database)?;
    let objects: i64 = query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut conn)
        .await
        .map_err(database)?;
    // A creation that was cut short leaves an empty file, or one with sqlx's own table at most.
    if application != APPLICATION_ID && (application != 0 || objects > 1) {
        return Err(TablesOpenError::Foreign { path: path.to_owned() });
    }
    migrate(path, &mut conn).await?;
    Ok(conn)
}

/// The connection that writes. What runs on it is interrupted while `stop` is set.
pub(crate) async fn writer(
    path: &Path,
    config: &TablesConfig,
    stop: &Arc<AtomicBool>,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut conn = writer_options(path, config).connect().await?;
    let stop = Arc::clone(stop);
    let goes_on = move || !stop.load(Ordering::Relaxed);
    conn.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, goes_on);
    Ok(conn)
}

/// What all connections share.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("mmap_size", "0")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

fn writer_options(path: &Path, config: &TablesConfig) -> SqliteConnectOptions {
    let pages_max = (config.database_bytes_max / 4096).clamp(1, PAGES_LIMIT);
    options(path)
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Without these an fsync on macOS leaves the data in the drive's cache.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-4096")
        // What a large statement would have to take back does not have to fit into memory.
        .pragma("temp_store", "FILE")
        .pragma("max_page_count", pages_max.to_string())
        // No replicated table has foreign keys, and rows come in the order of transactions.
        .foreign_keys(false)
        // Statements are put together per table: a handful for each.
        .statement_cache_capacity(256)
        .thread_name(|_| "mesh-tables-write".to_owned())
}

/// Connections for queries: they cannot write, whatever they are told.
pub(crate) fn reader_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .read_only(true)
        .pragma("query_only", "ON")
        .pragma("trusted_schema", "OFF")
        .pragma("cache_size", "-1024")
        .statement_cache_capacity(32)
        .row_buffer_size(64)
        .thread_name(|_| "mesh-tables-read".to_owned())
}

/// Creates the file for its owner alone. Whoever gives others access does so on purpose: it stays.
fn prepare_file(path: &Path) -> Result<(), TablesOpenError> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => file
            .sync_all()
            .map_err(|source| TablesOpenError::File { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(TablesOpenError::File { path: path.to_owned(), source }),
    }
}

/// Refuses a database of a newer program, without opening it for use: nothing in it is changed. Whoever has other
/// databases beside it asks before it changes those.
///
/// # Errors
/// [`TablesOpenError::NewerSchema`], or [`TablesOpenError::Database`] when it cannot be read.
pub async fn refuse_newer(path: &Path) -> Result<(), TablesOpenError> {
    // An empty file is a creation that was cut short.
    if path.metadata().map_or(!path.exists(), |found| found.len() == 0) {
        return Ok(());
    }
    let database =
        |source| TablesOpenError::Database { path: path.to_owned(), source: Box::new(source) };
    let mut conn = reader_options(path).connect().await.map_err(database)?;
    let theirs = schema_of(&mut conn).await.map_err(database)?;
    conn.close().await.map_err(database)?;
    check_schema(theirs)
}

fn check_schema(theirs: Option<u32>) -> Result<(), TablesOpenError> {
    match theirs {
        Some(theirs) if theirs > SCHEMA_NEWEST => {
            Err(TablesOpenError::NewerSchema { theirs, ours: SCHEMA_NEWEST })
        }
        Some(_) | None => Ok(()),
    }
}

/// The schema of a database; none while it has no tables.
pub(crate) async fn schema_of(conn: &mut SqliteConnection) -> Result<Option<u32>, sqlx::Error> {
    let has_history: i64 =
        query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *conn)
            .await?;
    if has_history == 0 {
        return Ok(None);
    }
    let theirs: Option<i64> =
        query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(conn).await?;
    Ok(Some(u32::try_from(theirs.unwrap_or(0)).unwrap_or(u32::MAX)))
}

async fn migrate(path: &Path, conn: &mut SqliteConnection) -> Result<(), TablesOpenError> {
    let database =
        |source| TablesOpenError::Database { path: path.to_owned(), source: Box::new(source) };
    check_schema(schema_of(conn).await.map_err(database)?)?;
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(i64::from(version), name.into(), kind, sql.into_sql_str(), false)
    });
    // Not `run`, of whose future the compiler cannot show that it is `Send`: programs start nodes in tasks.
    Migrator::with_migrations(migrations.collect())
        .run_direct(None, conn, false)
        .await
        .map_err(|error| TablesOpenError::Migrate(Box::new(error)))
}
