//! What nobody needs any more goes, in steps between which others can write.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use mesh_protocol::{HybridClock, SqlValue, UnixMillis, Version, VersionVector};
use sqlx::SqliteConnection;

use crate::apply::forget_passed;
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::rows::{PlannedRow, read_facts, write_plans};
use crate::sql::{Columns, execute, fetch, fetch_all, listed, number, quoted};
use crate::state::{Origins, load_origins};
use crate::{Tables, TablesError, conflicts};

/// Entries of the log that one step drops.
const ROWS_PER_STEP: u64 = 512;

/// Memories of deleted rows that one step drops, and that are looked for at a time.
const TOMBSTONES_PER_STEP: usize = 512;
const TOMBSTONES_TOGETHER: usize = 8192;

/// What an entry takes besides its body.
const ENTRY_BYTES: u64 = 48;

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
        let config = self.config().clone();
        let (kept, most) = (config.log_bytes_kept, config.log_bytes_max);
        let own = &self.reading().own;
        let (keep_from, drop_upto) =
            own.read(move |conn| async move { sizes(conn, kept, most).await }.boxed()).await?;
        let age = u64::try_from(config.log_age_max.as_millis()).unwrap_or(u64::MAX);
        let drop_before = UnixMillis(at.0.saturating_sub(age));
        let bounds = Bounds { keep_from, drop_upto, drop_before };
        let passed = Arc::new(passed.clone());
        let mut gone = 0;
        loop {
            let passed = Arc::clone(&passed);
            let step = self
                .transact(move |desk| async move { trim_log(desk, &passed, bounds).await }.boxed());
            let count = step.await?;
            gone += count;
            if count < ROWS_PER_STEP {
                break;
            }
        }
        gone += self.trim_tombstones(&passed, at).await?;
        self.transact(move |desk| {
            async move {
                forget_passed(desk).await?;
                conflicts::prune(desk, at).await
            }
            .boxed()
        })
        .await?;
        Ok(gone)
    }

    async fn trim_tombstones(
        &self,
        passed: &Arc<VersionVector>,
        at: UnixMillis,
    ) -> Result<u64, TablesError> {
        let retention = u64::try_from(self.config().retention.as_millis()).unwrap_or(u64::MAX);
        let before = HybridClock::at(UnixMillis(at.0.saturating_sub(retention)));
        let forgetting = Forgetting { passed: Arc::clone(passed), before };
        let own = &self.reading().own;
        let read = own.read(|conn| async move { Catalog::load(conn).await }.boxed());
        let tables = read.await?.tables;
        let mut gone = 0;
        for table in tables.into_values() {
            let table = Arc::new(table);
            loop {
                let (of, by) = (Arc::clone(&table), forgetting.clone());
                let keys = own.read(move |conn| {
                    async move {
                        let origins = load_origins(conn).await?;
                        find_tombstones(conn, &origins, &of, &by).await
                    }
                    .boxed()
                });
                let keys = keys.await?;
                let mut count = 0;
                for step in keys.chunks(TOMBSTONES_PER_STEP) {
                    let (step, of, by) = (step.to_vec(), Arc::clone(&table), forgetting.clone());
                    let step = self.transact(move |desk| {
                        async move { drop_tombstones(desk, &of, &by, &step, at).await }.boxed()
                    });
                    count += step.await?;
                }
                gone += count;
                if keys.len() < TOMBSTONES_TOGETHER || count == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

/// The first entry of those that are kept in any case, and the last of those that exceed the bound.
async fn sizes(
    conn: &mut SqliteConnection,
    kept: u64,
    most: u64,
) -> Result<(i64, i64), TablesError> {
    // From the newest back, each with the bytes of itself and of everything after it.
    let sql = "SELECT coalesce(min(id) FILTER (WHERE bytes <= ?1), 9223372036854775807), \
               coalesce(max(id) FILTER (WHERE bytes > ?2), 0) FROM \
               (SELECT id, sum(length(body) + ?3) OVER (ORDER BY id DESC) AS bytes FROM mesh_log)";
    let rows = fetch_all(conn, sql, [number(kept), number(most), number(ENTRY_BYTES)]).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "log" })?;
    let mut columns = Columns::of(row);
    Ok((columns.int()?, columns.int()?))
}

/// Drops the oldest entries, as far as they may go: the log of each origin has no gaps.
async fn trim_log(
    desk: &mut Desk,
    passed: &VersionVector,
    bounds: Bounds,
) -> Result<u64, TablesError> {
    let sql = "SELECT id, origin, sequence, at FROM mesh_log ORDER BY id LIMIT ?";
    let (mut last, mut count) = (0, 0);
    let floors = Arc::make_mut(&mut desk.state.floors);
    let mut raised = Vec::new();
    for row in fetch_all(&mut desk.conn, sql, [number(ROWS_PER_STEP)]).await? {
        let mut columns = Columns::of(&row);
        let (id, origin_no, sequence) = (columns.int()?, columns.int()?, columns.count()?);
        let at = UnixMillis(columns.count()?);
        let origin = desk.state.origins.id(origin_no)?;
        let is_passed = sequence <= passed.upto(&origin) && id < bounds.keep_from;
        if !is_passed && id > bounds.drop_upto && at >= bounds.drop_before {
            break;
        }
        (last, count) = (id, count + 1);
        let floor = floors.entry(origin).or_insert(0);
        if *floor < sequence {
            *floor = sequence;
            raised.push((origin_no, origin));
        }
    }
    if count == 0 {
        return Ok(0);
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
    Ok(count)
}

/// What says that a memory of a deleted row can go.
#[derive(Clone)]
struct Forgetting {
    /// Every member has this.
    passed: Arc<VersionVector>,
    /// Nobody may be away for longer.
    before: HybridClock,
}

impl Forgetting {
    fn covers(&self, version: &Version) -> bool {
        let is_passed = version.sequence <= self.passed.upto(&version.origin);
        !version.is_alive() && (is_passed || version.clock < self.before)
    }
}

/// Keys of rows of a table whose memories can go; at most so many. Read beside the writer: there may be
/// many more that cannot go.
async fn find_tombstones(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    forgetting: &Forgetting,
) -> Result<Vec<Vec<SqlValue>>, TablesError> {
    let sql = format!(
        "SELECT life, clock, origin, seq, {} FROM {} WHERE life % 2 = 0",
        listed(&table.key, |column| quoted(&column.name)),
        quoted(&table.row_table())
    );
    let mut keys = Vec::new();
    let mut rows = fetch(conn, sql, [])?;
    while let Some(row) = rows.next().await {
        let row = row?;
        let mut columns = Columns::of(&row);
        let (life, clock) = (columns.count()?, HybridClock(columns.count()?));
        let origin = origins.id(columns.int()?)?;
        let version = Version { life, clock, origin, sequence: columns.count()? };
        if forgetting.covers(&version) {
            keys.push(columns.values(table.key.len())?);
        }
        if keys.len() == TOMBSTONES_TOGETHER {
            break;
        }
    }
    Ok(keys)
}

/// Drops the memories of rows, if they still can go.
async fn drop_tombstones(
    desk: &mut Desk,
    table: &Table,
    forgetting: &Forgetting,
    keys: &[Vec<SqlValue>],
    at: UnixMillis,
) -> Result<u64, TablesError> {
    let origins = Arc::clone(&desk.state.origins);
    if desk.state.catalog.tables.get(&table.id).is_none_or(|known| known.name != table.name) {
        return Ok(0);
    }
    let found = read_facts(&mut desk.conn, &origins, table, keys).await?;
    let gone: Vec<PlannedRow> = (found.into_iter().zip(keys))
        .filter(|(row, _)| row.facts.version.is_some_and(|version| forgetting.covers(&version)))
        .map(|(before, key)| PlannedRow {
            key: key.clone(),
            before,
            forget: true,
            ..PlannedRow::default()
        })
        .collect();
    write_plans(&mut desk.conn, &origins, table, &gone, at).await?;
    Ok(gone.len() as u64)
}
