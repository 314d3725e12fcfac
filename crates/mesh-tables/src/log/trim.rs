//! What nobody needs any more goes, in steps between which others can write.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use mesh_protocol::{OriginId, SqlValue, UnixMillis, VersionVector};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::apply::forget_passed;
use crate::desk::Desk;
use crate::durable::Durability;
use crate::sql::{Columns, execute, fetch, fetch_all, fetch_optional, number};
use crate::state::{Origins, load_origins};
use crate::stats::{LogDropped, LogSize, count_log};
use crate::{Tables, TablesConfig, TablesError, conflicts};

/// Entries of the log that one step drops.
const ROWS_PER_STEP: u64 = 512;

/// What an entry takes besides its body.
const ENTRY_BYTES: u64 = 48;

/// Where nothing was applied and nobody passed anything, only time lets something go: it is looked for no
/// more often than this.
const QUIET_MILLIS: u64 = 10 * 60 * 1000;

/// What was known at the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    passed: VersionVector,
    log_head: i64,
    at: UnixMillis,
}

/// Remembers the last time, so that nothing is looked for where nothing can be found.
#[derive(Debug, Default)]
pub(crate) struct Trimmed(Mutex<Option<Moment>>);

impl Trimmed {
    fn is_idle(&self, now: &Moment) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| {
            let waited = now.at.0.checked_sub(last.at.0);
            last.log_head == now.log_head
                && waited.is_some_and(|waited| waited < QUIET_MILLIS)
                && last.passed == now.passed
        })
    }

    fn note(&self, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

/// What goes from the log.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Entries from this one on are kept although every member has them.
    keep_from: i64,
    /// Entries up to this one go, whoever lacks them.
    drop_upto: i64,
    /// Entries from before this moment go, whoever lacks them.
    drop_before: UnixMillis,
}

impl Tables {
    /// Drops what is not needed any more, where every member has `passed`: entries of the log, memories of
    /// deleted rows, losers of conflicts that are too old or too many. Also what exceeds the bounds,
    /// whoever lacks it. Says how many entries and memories went.
    ///
    /// # Errors
    /// [`TablesError`]; what was dropped until then is gone.
    pub async fn trim(&self, passed: &VersionVector, at: UnixMillis) -> Result<u64, TablesError> {
        let log_head = self.have().borrow().log_head;
        let now = Moment { passed: passed.clone(), log_head, at };
        if self.reading().trimmed.is_idle(&now) {
            return Ok(0);
        }
        let passed = Arc::new(passed.clone());
        let mut gone = self.trim_entries(&passed, at).await?;
        gone += self.trim_tombstones(&passed, at).await?;
        self.transact_until(Durability::Later, move |desk| {
            async move {
                forget_passed(desk).await?;
                conflicts::prune(desk, at).await
            }
            .boxed()
        })
        .await?;
        self.reading().trimmed.note(now);
        Ok(gone)
    }

    async fn trim_entries(
        &self,
        passed: &Arc<VersionVector>,
        at: UnixMillis,
    ) -> Result<u64, TablesError> {
        let reading = self.reading();
        let (config, before) = (self.config().clone(), reading.log_count.get());
        let known = Arc::clone(passed);
        let look = reading.own.read(move |conn| {
            async move {
                let size = count_log(conn, before).await?;
                let bounds = bounds(conn, &config, size, at).await?;
                Ok((size, bounds, does_any_go(conn, &known, bounds).await?))
            }
            .boxed()
        });
        let (size, bounds, does_any_go) = look.await?;
        reading.log_count.set(size);
        let mut gone = 0;
        if !does_any_go {
            return Ok(gone);
        }
        loop {
            let passed = Arc::clone(passed);
            let step = self.transact_until(Durability::Later, move |desk| {
                async move { trim_log(desk, &passed, bounds).await }.boxed()
            });
            let Some(dropped) = step.await? else { break };
            reading.log_count.subtract(&dropped);
            gone += dropped.entries;
            if dropped.entries < ROWS_PER_STEP {
                break;
            }
        }
        Ok(gone)
    }
}

/// Finds what goes. Reads no more than what is kept in any case, and what exceeds the bound.
async fn bounds(
    conn: &mut SqliteConnection,
    config: &TablesConfig,
    size: LogSize,
    at: UnixMillis,
) -> Result<Bounds, TablesError> {
    let (mut keep_from, mut bytes) = (i64::MAX, 0);
    let newest = "SELECT id, length(body) FROM mesh_log ORDER BY id DESC";
    let mut rows = fetch(conn, newest, [])?;
    while let Some(row) = rows.next().await {
        let (id, entry) = sized(&row?)?;
        bytes += entry;
        if bytes > config.log_bytes_kept {
            break;
        }
        keep_from = id;
    }
    drop(rows);
    let (mut drop_upto, mut bytes) = (0, size.bytes + size.entries * ENTRY_BYTES);
    if bytes > config.log_bytes_max {
        let oldest = "SELECT id, length(body) FROM mesh_log ORDER BY id";
        let mut rows = fetch(conn, oldest, [])?;
        while bytes > config.log_bytes_max
            && let Some(row) = rows.next().await
        {
            let (id, entry) = sized(&row?)?;
            bytes = bytes.saturating_sub(entry);
            drop_upto = id;
        }
    }
    let age = u64::try_from(config.log_age_max.as_millis()).unwrap_or(u64::MAX);
    Ok(Bounds { keep_from, drop_upto, drop_before: UnixMillis(at.0.saturating_sub(age)) })
}

/// An entry's number, and the bytes that it takes.
fn sized(row: &SqliteRow) -> Result<(i64, u64), TablesError> {
    let mut columns = Columns::of(row);
    Ok((columns.int()?, columns.count()? + ENTRY_BYTES))
}

/// Whether the oldest entry may go: otherwise none does, and nobody has to wait for a transaction.
async fn does_any_go(
    conn: &mut SqliteConnection,
    passed: &VersionVector,
    bounds: Bounds,
) -> Result<bool, TablesError> {
    let origins = load_origins(conn).await?;
    let row = fetch_optional(conn, format!("{OLDEST} LIMIT 1"), []).await?;
    let entry = row.map(|row| Entry::read(&row, &origins)).transpose()?;
    Ok(entry.is_some_and(|entry| entry.goes(passed, bounds)))
}

/// Reads what [`Entry::read`] takes.
const OLDEST: &str = "SELECT id, origin, sequence, at, length(body) FROM mesh_log ORDER BY id";

/// An entry of the log, without its body.
struct Entry {
    id: i64,
    origin_no: i64,
    origin: OriginId,
    sequence: u64,
    at: UnixMillis,
    bytes: u64,
}

impl Entry {
    fn read(row: &SqliteRow, origins: &Origins) -> Result<Self, TablesError> {
        let mut columns = Columns::of(row);
        let (id, origin_no, sequence) = (columns.int()?, columns.int()?, columns.count()?);
        let (at, bytes) = (UnixMillis(columns.count()?), columns.count()?);
        Ok(Self { id, origin_no, origin: origins.id(origin_no)?, sequence, at, bytes })
    }

    fn goes(&self, passed: &VersionVector, bounds: Bounds) -> bool {
        let is_passed = self.sequence <= passed.upto(&self.origin) && self.id < bounds.keep_from;
        is_passed || self.id <= bounds.drop_upto || self.at < bounds.drop_before
    }
}

/// Drops the oldest entries, as far as they may go: the log of each origin has no gaps. None when none may.
async fn trim_log(
    desk: &mut Desk,
    passed: &VersionVector,
    bounds: Bounds,
) -> Result<Option<LogDropped>, TablesError> {
    let (mut last, mut entries, mut bytes) = (0, 0, 0);
    let floors = Arc::make_mut(&mut desk.state.floors);
    let mut raised = Vec::new();
    let sql = format!("{OLDEST} LIMIT ?");
    for row in fetch_all(&mut desk.conn, sql, [number(ROWS_PER_STEP)]).await? {
        let entry = Entry::read(&row, &desk.state.origins)?;
        if !entry.goes(passed, bounds) {
            break;
        }
        (last, entries, bytes) = (entry.id, entries + 1, bytes + entry.bytes);
        let floor = floors.entry(entry.origin).or_insert(0);
        if *floor < entry.sequence {
            *floor = entry.sequence;
            raised.push((entry.origin_no, entry.origin));
        }
    }
    if entries == 0 {
        return Ok(None);
    }
    raised.sort_unstable();
    raised.dedup();
    for (no, origin) in raised {
        let floor = number(floors.get(&origin).copied().unwrap_or(0));
        let sql = "UPDATE mesh_vector SET floor = max(floor, ?2) WHERE origin = ?1";
        execute(&mut desk.conn, sql, [SqlValue::Integer(no), floor]).await?;
    }
    let sql = "DELETE FROM mesh_log WHERE id <= ?";
    execute(&mut desk.conn, sql, [SqlValue::Integer(last)]).await?;
    desk.recent.forget_upto(last);
    let first = "SELECT coalesce(min(id), 0) FROM mesh_log";
    let row = fetch_optional(&mut desk.conn, first, []).await?;
    let first = row.map_or(Ok(0), |row| Columns::of(&row).int())?;
    Ok(Some(LogDropped { upto: last, first, entries, bytes }))
}
