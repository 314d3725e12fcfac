//! Rows that came or went while a table had no triggers, and those that were captured while nobody looked: they
//! are taken up when the table is whole again.

use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::sql::{execute, fetch_optional, listed, quoted};
use crate::triggers::{IS_DEAD, TICK};

/// Captures the rows that have no version and the versions of living rows that are gone. Values that were
/// changed in rows with a version cannot be told from here. Says how many rows it were.
pub(super) async fn capture_unseen(desk: &mut Desk, table: &Table) -> Result<u64, TablesError> {
    let on = quoted(&table.name);
    let (row, new) = (quoted(&table.row_table()), quoted(&table.new_table()));
    let cell = quoted(&table.cell_table());
    let keys = listed(&table.key, |column| quoted(&column.name));
    let of = |alias: &str| listed(&table.key, |column| format!("{alias}.{}", quoted(&column.name)));
    // The table stands on the left: its columns' collations and affinities are the key's.
    let same = |one: &str, two: &str| {
        let equal = table.key.iter().map(|column| {
            let name = quoted(&column.name);
            format!("{one}.{name} = {two}.{name}")
        });
        equal.collect::<Vec<_>>().join(" AND ")
    };
    let same_row = same("t", "r");
    let came = format!(
        "FROM {on} AS t WHERE NOT EXISTS (SELECT 1 FROM {row} AS r WHERE {same_row} AND NOT (r.{IS_DEAD}))"
    );
    let went = format!(
        "FROM {row} AS r WHERE NOT (r.{IS_DEAD}) AND NOT EXISTS (SELECT 1 FROM {on} AS t WHERE {same_row})"
    );
    execute(&mut desk.conn, TICK, []).await?;
    let noted = [
        format!("INSERT OR IGNORE INTO {new} ({keys}, col) SELECT {}, -1 {came}", of("t")),
        format!("INSERT OR IGNORE INTO {new} ({keys}, col) SELECT {}, -1 {went}", of("r")),
    ];
    let mut count = 0;
    for sql in noted {
        count += execute(&mut desk.conn, sql, []).await?;
    }
    let gone = same("n", "c");
    let cells = format!(
        "DELETE FROM {cell} AS c WHERE EXISTS (SELECT 1 FROM {new} AS n WHERE {gone} AND n.col = -1)"
    );
    execute(&mut desk.conn, cells, []).await?;
    // A row of a first life, the next life of one that is back, the death of one that went.
    let noted_row = same("n", "r");
    let next = format!(
        "UPDATE {row} AS r SET life = life + 1, (clock, origin, seq) = \
         (SELECT clock, origin, sequence FROM mesh_state WHERE id = 1) \
         WHERE EXISTS (SELECT 1 FROM {new} AS n WHERE {noted_row} AND n.col = -1)"
    );
    execute(&mut desk.conn, next, []).await?;
    let born = format!(
        "INSERT INTO {row} ({keys}, life, clock, origin, seq) \
         SELECT {}, 1, s.clock, s.origin, s.sequence FROM {new} AS n, mesh_state AS s \
         WHERE s.id = 1 AND n.col = -1 AND NOT EXISTS (SELECT 1 FROM {row} AS r WHERE {noted_row})",
        of("n")
    );
    execute(&mut desk.conn, born, []).await?;
    Ok(count)
}

/// Rows that were captured while the table could not be used have the number of the transaction that was open
/// then, which was sealed without them: they get that of the one which is open now.
pub(super) async fn renumber(desk: &mut Desk, table: &Table) -> Result<(), TablesError> {
    let (row, new) = (quoted(&table.row_table()), quoted(&table.new_table()));
    let cell = quoted(&table.cell_table());
    let keys = listed(&table.key, |column| quoted(&column.name));
    let find = format!("SELECT 1 FROM {new} LIMIT 1");
    if fetch_optional(&mut desk.conn, find, []).await?.is_none() {
        return Ok(());
    }
    // That transaction took the mark with it.
    execute(&mut desk.conn, TICK, []).await?;
    let open = "SET (origin, seq) = (SELECT origin, sequence FROM mesh_state WHERE id = 1)";
    let rows =
        format!("UPDATE {row} {open} WHERE ({keys}) IN (SELECT {keys} FROM {new} WHERE col = -1)");
    let cells =
        format!("UPDATE {cell} {open} WHERE ({keys}, col) IN (SELECT {keys}, col FROM {new})");
    for sql in [rows, cells] {
        execute(&mut desk.conn, sql, []).await?;
    }
    Ok(())
}
