//! Memories of deleted rows go when every member has passed the deletion, or when they are old.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use mesh_protocol::{HybridClock, SqlValue, UnixMillis, Version, VersionVector};
use sqlx::SqliteConnection;

use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::rows::{PlannedRow, read_facts, write_plans};
use crate::sql::{Columns, fetch, fetch_optional, listed, quoted};
use crate::state::{Origins, load_origins};
use crate::triggers::IS_DEAD;
use crate::{Tables, TablesError};

/// Memories of deleted rows that one step drops, and that are looked for at a time.
const TOMBSTONES_PER_STEP: usize = 512;
const TOMBSTONES_TOGETHER: usize = 8192;

impl Tables {
    pub(super) async fn trim_tombstones(
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

/// Keys of rows of a table whose memories can go; at most so many. Of each origin those with the lowest
/// numbers, which are also the oldest ones, until one cannot go.
async fn find_tombstones(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    forgetting: &Forgetting,
) -> Result<Vec<Vec<SqlValue>>, TablesError> {
    let row_table = quoted(&table.row_table());
    let next = format!("SELECT min(origin) FROM {row_table} WHERE {IS_DEAD} AND origin > ?");
    let oldest = format!(
        "SELECT life, clock, origin, seq, {} FROM {row_table} WHERE {IS_DEAD} AND origin = ? \
         ORDER BY seq",
        listed(&table.key, |column| quoted(&column.name)),
    );
    let mut keys = Vec::new();
    let mut no = i64::MIN;
    while keys.len() < TOMBSTONES_TOGETHER {
        let row = fetch_optional(conn, next.as_str(), [SqlValue::Integer(no)]).await?;
        let Some(row) = row else { break };
        let Some(origin_no) = Columns::of(&row).int_or_none()? else { break };
        no = origin_no;
        let mut rows = fetch(conn, oldest.as_str(), [SqlValue::Integer(no)])?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let mut columns = Columns::of(&row);
            let (life, clock) = (columns.count()?, HybridClock(columns.count()?));
            let origin = origins.id(columns.int()?)?;
            let version = Version { life, clock, origin, sequence: columns.count()? };
            if !forgetting.covers(&version) || keys.len() == TOMBSTONES_TOGETHER {
                break;
            }
            keys.push(columns.values(table.key.len())?);
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
        // What lost against the deletion is only known to have lost as long as there is one to lose against.
        .filter(|(row, _)| {
            let is_passed = row.facts.version.is_some_and(|version| forgetting.covers(&version));
            is_passed && row.facts.losers.is_empty()
        })
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
