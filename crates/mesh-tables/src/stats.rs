//! Figures for whoever watches over the database.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mesh_protocol::{HybridClock, OriginId, PeerId, UnixMillis};
use sqlx::SqliteConnection;

use crate::sql::{Columns, fetch_all};
use crate::{Tables, TablesError};

/// How the replicated tables are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesStats {
    /// Live tables.
    pub tables: u64,
    /// Tables that are kept under another name, because another definition of theirs was made earlier.
    pub tables_aside: u64,
    /// Entries of the log.
    pub log_entries: u64,
    /// Bytes of transactions in the log.
    pub log_bytes: u64,
    /// Transactions that are kept aside because they cannot be applied.
    pub parked: u64,
    /// Those of them whose clocks are ahead, by whose they are.
    pub parked_ahead: Vec<ParkedAhead>,
    /// Losers of conflicts that nobody decided upon.
    pub conflicts: u64,
    /// Rows that do not travel, because they are too large.
    pub unsent: u64,
    /// Bytes of transactions that are kept aside or incomplete.
    pub spool_bytes: u64,
    /// Size of the database file.
    pub database_bytes: u64,
    /// Size of the WAL beside it.
    pub wal_bytes: u64,
}

/// Transactions of one database whose clocks are too far ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedAhead {
    /// The database.
    pub origin: OriginId,
    /// The member whose it is or was, if known.
    pub member: Option<PeerId>,
    /// How many there are.
    pub count: u64,
    /// By how many milliseconds the latest of their clocks is ahead.
    pub ahead_millis: u64,
}

/// What was counted of the log. Entries are added at its end and dropped at its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogSize {
    first: i64,
    last: i64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// What was dropped from the log: its oldest entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogDropped {
    /// The last one of them.
    pub(crate) upto: i64,
    /// The oldest entry that is left; 0 when there is none.
    pub(crate) first: i64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Remembers what was counted, so that a long log is not counted again and again.
#[derive(Debug, Default)]
pub(crate) struct LogCount(Mutex<LogSize>);

impl LogCount {
    pub(crate) fn get(&self) -> LogSize {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, size: LogSize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    /// Takes away what was dropped. Where it was not what had been counted, the next count begins anew.
    pub(crate) fn subtract(&self, dropped: &LogDropped) {
        let mut size = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_counted = size.first <= dropped.upto && dropped.upto <= size.last;
        let rest =
            size.entries.checked_sub(dropped.entries).zip(size.bytes.checked_sub(dropped.bytes));
        *size = match rest.filter(|_| is_counted) {
            Some((entries, bytes)) => LogSize { first: dropped.first, entries, bytes, ..*size },
            None => LogSize::default(),
        };
    }
}

impl Tables {
    /// Figures of this moment; `now` tells how far clocks are ahead.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read.
    pub async fn stats(&self, now: UnixMillis) -> Result<TablesStats, TablesError> {
        let reading = self.reading();
        let before = reading.log_count.get();
        let (mut stats, log) = reading
            .own
            .read(|conn| {
                Box::pin(async move {
                    let log = count_log(conn, before).await?;
                    Ok((count(conn, now).await?, log))
                })
            })
            .await?;
        reading.log_count.set(log);
        stats.log_entries = log.entries;
        stats.log_bytes = log.bytes;
        stats.database_bytes = file_bytes(self.path());
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        stats.wal_bytes = file_bytes(Path::new(&wal));
        Ok(stats)
    }
}

/// A file that is not there has no bytes.
fn file_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

pub(crate) async fn count_log(
    conn: &mut SqliteConnection,
    before: LogSize,
) -> Result<LogSize, TablesError> {
    let first = "SELECT coalesce(min(id), 0) FROM mesh_log";
    let rows = fetch_all(conn, first, []).await?;
    let first = rows.first().map_or(Ok(0), |row| Columns::of(row).int())?;
    let before =
        if before.first == first { before } else { LogSize { first, ..LogSize::default() } };
    // `length` of a blob reads its size alone.
    let more = format!(
        "SELECT coalesce(max(id), {0}), count(*), coalesce(sum(length(body)), 0) \
         FROM mesh_log WHERE id > {0}",
        before.last
    );
    let rows = fetch_all(conn, more, []).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "log" })?;
    let mut columns = Columns::of(row);
    Ok(LogSize {
        first,
        last: columns.int()?,
        entries: before.entries + columns.count()?,
        bytes: before.bytes + columns.count()?,
    })
}

async fn count(conn: &mut SqliteConnection, now: UnixMillis) -> Result<TablesStats, TablesError> {
    let sql = "SELECT (SELECT count(*) FROM mesh_tables WHERE state = 'live' AND name NOT LIKE 'agent\\_config%' ESCAPE '\\'), \
                      (SELECT count(*) FROM mesh_tables WHERE state = 'aside'), \
                      (SELECT count(*) FROM mesh_parked), \
                      (SELECT count(*) FROM mesh_conflicts), \
                      (SELECT count(*) FROM mesh_unsent), \
                      (SELECT coalesce(sum(length(body)), 0) FROM mesh_spool)";
    let rows = fetch_all(conn, sql, []).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "count" })?;
    let mut columns = Columns::of(row);
    Ok(TablesStats {
        tables: columns.count()?,
        tables_aside: columns.count()?,
        parked: columns.count()?,
        conflicts: columns.count()?,
        unsent: columns.count()?,
        spool_bytes: columns.count()?,
        parked_ahead: parked_ahead(conn, now).await?,
        ..TablesStats::default()
    })
}

async fn parked_ahead(
    conn: &mut SqliteConnection,
    now: UnixMillis,
) -> Result<Vec<ParkedAhead>, TablesError> {
    let sql = "SELECT o.origin, o.member, count(*), max(p.clock) \
               FROM mesh_parked AS p JOIN mesh_origins AS o ON o.id = p.origin \
               WHERE p.reason = 'clock_skew' GROUP BY o.id ORDER BY o.origin";
    let rows = fetch_all(conn, sql, []).await?;
    let ahead = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        let origin = OriginId::from_bytes(columns.array("origin")?);
        let member = columns.blob_or_none()?.and_then(|bytes| bytes.try_into().ok());
        let count = columns.count()?;
        let latest = HybridClock(columns.count()?).time();
        let ahead_millis = latest.0.saturating_sub(now.0);
        Ok(ParkedAhead { origin, member: member.map(PeerId::from_bytes), count, ahead_millis })
    });
    ahead.collect()
}
