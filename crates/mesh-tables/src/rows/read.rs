use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{HybridClock, SqlValue, Version};
use sqlx::SqliteConnection;

use super::losers::read_losers;
use super::{RowRead, bound, list_head, numbered_tuples, portions_of, same_key};
use crate::TablesError;
use crate::catalog::Table;
use crate::sql::{Columns, fetch_all, quoted};
use crate::state::Origins;

/// What there is of the rows with these keys, in their order.
pub(crate) async fn read_facts(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    keys: &[Vec<SqlValue>],
) -> Result<Vec<RowRead>, TablesError> {
    let mut rows = read_row_facts(conn, origins, table, keys).await?;
    read_losers(conn, origins, table, keys, &mut rows).await?;
    Ok(rows)
}

/// As [`read_facts`], without losers.
pub(crate) async fn read_row_facts(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    keys: &[Vec<SqlValue>],
) -> Result<Vec<RowRead>, TablesError> {
    let mut rows = Vec::with_capacity(keys.len());
    for portion in portions_of(keys) {
        let mut found = read_versions(conn, origins, table, portion).await?;
        if found.iter().any(|row| row.facts.version.is_some()) {
            read_cells(conn, origins, table, portion, &mut found).await?;
        }
        rows.append(&mut found);
    }
    Ok(rows)
}

async fn read_versions(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    keys: &[Vec<SqlValue>],
) -> Result<Vec<RowRead>, TablesError> {
    let same_bytes: Vec<String> = (table.key.iter().enumerate())
        .map(|(index, column)| {
            let name = quoted(&column.name);
            format!(
                "typeof(r.{name}) = typeof(__mesh_k.c{index}) \
                 AND r.{name} COLLATE BINARY = __mesh_k.c{index}"
            )
        })
        .collect();
    let sql = format!(
        "WITH {} AS (VALUES {}) \
         SELECT __mesh_k.i, r.life, r.clock, r.origin, r.seq, NOT ({}) \
         FROM __mesh_k CROSS JOIN {} AS r ON {}",
        list_head(table.key.len()),
        numbered_tuples(keys),
        same_bytes.join(" AND "),
        quoted(&table.row_table()),
        same_key(table, "r"),
    );
    let mut rows = vec![RowRead::default(); keys.len()];
    for found in fetch_all(conn, sql, bound(keys)).await? {
        let mut columns = Columns::of(&found);
        let index = columns.int()?;
        let life = columns.count()?;
        let clock = HybridClock(columns.count()?);
        let origin_no = columns.int()?;
        let sequence = columns.count()?;
        let version = Version { life, clock, origin: origins.id(origin_no)?, sequence };
        let row = usize::try_from(index).ok().and_then(|index| rows.get_mut(index));
        let row = row.ok_or(TablesError::Malformed { what: "number of a row" })?;
        row.is_key_different = columns.flag()?;
        row.facts.version = Some(version);
        row.facts.uncovered = uncovered(table, origin_no, &version);
    }
    Ok(rows)
}

/// Columns that were added later than the row was written whole. A deletion covers every column.
pub(crate) fn uncovered(table: &Table, origin_no: i64, version: &Version) -> BTreeSet<u16> {
    if !version.is_alive() {
        return BTreeSet::new();
    }
    let covers = |from: &BTreeMap<i64, u64>| {
        from.get(&origin_no).is_some_and(|sequence| *sequence <= version.sequence)
    };
    (table.coverage.iter()).filter(|(_, from)| !covers(from)).map(|(column, _)| *column).collect()
}

async fn read_cells(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    keys: &[Vec<SqlValue>],
    rows: &mut [RowRead],
) -> Result<(), TablesError> {
    let sql = format!(
        "WITH {} AS (VALUES {}) SELECT __mesh_k.i, c.col, c.clock, c.origin, c.seq \
         FROM __mesh_k CROSS JOIN {} AS c ON {}",
        list_head(table.key.len()),
        numbered_tuples(keys),
        quoted(&table.cell_table()),
        same_key(table, "c"),
    );
    for found in fetch_all(conn, sql, bound(keys)).await? {
        let mut columns = Columns::of(&found);
        let index = usize::try_from(columns.int()?).ok();
        let column = u16::try_from(columns.int()?)
            .map_err(|_| TablesError::Malformed { what: "number of a column" })?;
        let clock = HybridClock(columns.count()?);
        let origin = origins.id(columns.int()?)?;
        let sequence = columns.count()?;
        let row = index.and_then(|index| rows.get_mut(index));
        // A column's version without one of its row means nothing.
        let Some(facts) = row.map(|row| &mut row.facts) else { continue };
        let Some(life) = facts.version.map(|version| version.life) else { continue };
        facts.cells.insert(column, Version { life, clock, origin, sequence });
    }
    Ok(())
}
