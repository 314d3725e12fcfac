//! Makes one numbered transaction of everything that the triggers noted.

mod page;
mod parts;
mod unsent;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_protocol::{
    Dot, HybridClock, ORIGINS_MAX, OriginId, Resolved, SchemaChange, SqlValue, TableId,
    TransactionHeader, UnixMillis,
};

use sqlx::sqlite::SqliteRow;

use self::parts::Parts;
use self::unsent::send_unsent;

use crate::catalog::Table;
use crate::desk::{Desk, Last};
use crate::schema;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, listed, number, quoted};
use crate::triggers::TICK;
use crate::{TablesError, accepted};

/// Tables that one statement looks into.
const TABLES_PER_STATEMENT: usize = 100;

/// What a transaction holds beside changed rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) schema: Vec<SchemaChange>,
    pub(crate) resolved: Vec<Resolved>,
}

/// The row of `mesh_state`, SQLite's count of schema changes, and whether rare things are there at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) clock: HybridClock,
    pub(crate) is_dirty: bool,
    pub(crate) schema_version: i64,
    /// Whether any row could not travel.
    has_unsent: bool,
    /// Whether any loser of a conflict is listed.
    has_losers: bool,
}

/// What became of a seal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sealed {
    /// The transaction, if there was anything.
    pub(crate) dot: Option<Dot>,
    /// How many rows cannot travel.
    pub(crate) unsent: usize,
}

pub(crate) const STATUS: &str = "SELECT clock, dirty, (SELECT schema_version FROM pragma_schema_version), \
                      EXISTS (SELECT 1 FROM mesh_unsent), EXISTS (SELECT 1 FROM mesh_conflicts) \
                      FROM mesh_state WHERE id = 1";

/// Begins a transaction and reads the status.
pub(crate) fn begin() -> String {
    format!("BEGIN IMMEDIATE;{STATUS}")
}

/// Whether other programs wrote, or changed tables, before the transaction whose status this row is; not when
/// it did not begin.
pub(crate) fn is_to_be_sealed(desk: &Desk, begun: Option<&SqliteRow>) -> Result<bool, TablesError> {
    let status = begun.map(|row| status_of(Some(row))).transpose()?;
    let is_other =
        |status: Status| status.is_dirty || status.schema_version != desk.state.schema_version;
    Ok(status.is_some_and(is_other))
}

/// Begins a transaction with `then`, statements that return nothing, having sealed what other programs wrote
/// before.
pub(crate) async fn begin_sealed(
    desk: &mut Desk,
    at: UnixMillis,
    then: &str,
) -> Result<(), TablesError> {
    let rows = fetch_all(&mut desk.conn, format!("{};{then}", begin()), []).await?;
    if is_to_be_sealed(desk, rows.first())? {
        desk.roll_back().await;
        desk.begin().await?;
        seal_if_dirty(desk, at).await?;
        return execute(&mut desk.conn, then, []).await.map(drop);
    }
    desk.may_have_losers = status_of(rows.first())?.has_losers;
    Ok(())
}

/// Reads what may have been changed by other programs.
pub(crate) async fn status(desk: &mut Desk) -> Result<Status, TablesError> {
    let row = fetch_optional(&mut desk.conn, STATUS, []).await?;
    status_of(row.as_ref())
}

fn status_of(row: Option<&SqliteRow>) -> Result<Status, TablesError> {
    let mut row = Columns::of(row.ok_or(TablesError::Malformed { what: "state" })?);
    let clock = HybridClock(row.count()?);
    let (is_dirty, schema_version) = (row.flag()?, row.int()?);
    let (has_unsent, has_losers) = (row.flag()?, row.flag()?);
    Ok(Status { clock, is_dirty, schema_version, has_unsent, has_losers })
}

/// What a seal reads first, so that it can travel to SQLite's thread behind the statement that is sealed: that
/// saves two of a handful of trips, which is much of a small transaction.
#[derive(Default)]
pub(crate) struct Ahead {
    rows: Vec<SqliteRow>,
}

impl Ahead {
    /// Two statements without parameters: their rows are to be added in order.
    pub(crate) fn sql(table: &Table) -> String {
        format!("{STATUS};{}", page::first(table))
    }

    pub(crate) fn add(&mut self, row: SqliteRow) {
        self.rows.push(row);
    }
}

/// Like [`seal_tables`] for the one table that was written, what is to be read first having been read. What
/// is left to write goes with the COMMIT: nothing may follow in this transaction.
pub(crate) async fn seal_ahead(
    desk: &mut Desk,
    table: &Table,
    mut ahead: Ahead,
    at: UnixMillis,
) -> Result<Sealed, TablesError> {
    let status = status_of(ahead.rows.first())?;
    if !status.is_dirty {
        return Ok(Sealed::default());
    }
    ahead.rows.remove(0);
    let dot = Dot { origin: desk.state.me, sequence: desk.state.open_sequence() };
    let mut parts = Parts::new(dot, header(desk, &Extra::default(), status.clock), at);
    page::seal_table(desk, table, &status, Some(ahead.rows), &mut parts).await?;
    if parts.is_empty() {
        return conclude(desk, parts, &[table], false).await;
    }
    let (dot, advanced) = (parts.dot, parts.advanced.clone());
    note_context(desk, &advanced, dot.sequence).await?;
    let (last, unsent) = ending(desk, parts, &[table]).await?;
    desk.write_last(last);
    Ok(Sealed { dot: Some(dot), unsent })
}

/// Takes the next clock as the triggers do, for a write that is none of a row.
pub(crate) async fn stamp(desk: &mut Desk) -> Result<HybridClock, TablesError> {
    execute(&mut desk.conn, TICK, []).await?;
    Ok(status(desk).await?.clock)
}

/// Seals what other programs captured, if anything. Whoever applies something of others calls this before,
/// in the same transaction: what is captured here was made without knowing it.
pub(crate) async fn seal_if_dirty(
    desk: &mut Desk,
    at: UnixMillis,
) -> Result<Option<Dot>, TablesError> {
    let status = match desk.begun.take() {
        Some(row) => status_of(Some(&row))?,
        None => status(desk).await?,
    };
    desk.may_have_losers = status.has_losers;
    if status.schema_version != desk.state.schema_version {
        schema::adopt(desk, at).await?;
    } else if !status.is_dirty {
        return Ok(None);
    }
    seal(desk, Extra::default(), at).await
}

/// Seals everything that was captured, with `extra`, within a transaction. None when there is nothing.
pub(crate) async fn seal(
    desk: &mut Desk,
    extra: Extra,
    at: UnixMillis,
) -> Result<Option<Dot>, TablesError> {
    Ok(seal_tables(desk, extra, None, at).await?.dot)
}

/// Like [`seal`]; where it is known that only some tables were written, only those are looked into.
pub(crate) async fn seal_tables(
    desk: &mut Desk,
    extra: Extra,
    written: Option<&[TableId]>,
    at: UnixMillis,
) -> Result<Sealed, TablesError> {
    let mut status = status(desk).await?;
    let has_extra = !extra.schema.is_empty() || !extra.resolved.is_empty();
    if !status.is_dirty && !has_extra {
        return Ok(Sealed::default());
    }
    if !status.is_dirty {
        status.clock = stamp(desk).await?;
    }
    let catalog = Arc::clone(&desk.state.catalog);
    let tables: Vec<&Table> = match written {
        Some(ids) => ids.iter().filter_map(|id| catalog.tables.get(id)).collect(),
        None => captured(desk, catalog.tables.values().collect()).await?,
    };
    let dot = Dot { origin: desk.state.me, sequence: desk.state.open_sequence() };
    let mut parts = Parts::new(dot, header(desk, &extra, status.clock), at);
    for table in &tables {
        page::seal_table(desk, table, &status, None, &mut parts).await?;
    }
    conclude(desk, parts, &tables, has_extra).await
}

/// Ends the transaction that `parts` hold, if they hold anything.
async fn conclude(
    desk: &mut Desk,
    parts: Parts,
    tables: &[&Table],
    has_extra: bool,
) -> Result<Sealed, TablesError> {
    if parts.is_empty() && !has_extra {
        // Captured changes were all too large to travel, or of tables that are gone: no number is used up.
        execute(&mut desk.conn, "UPDATE mesh_state SET dirty = 0 WHERE id = 1", []).await?;
        return Ok(Sealed { dot: None, unsent: parts.unsent });
    }
    let (dot, advanced) = (parts.dot, parts.advanced.clone());
    let (last, unsent) = ending(desk, parts, tables).await?;
    desk.write(last).await?;
    note_context(desk, &advanced, dot.sequence).await?;
    Ok(Sealed { dot: Some(dot), unsent })
}

fn header(desk: &Desk, extra: &Extra, clock: HybridClock) -> TransactionHeader {
    let state = &desk.state;
    let before = state.contexts.get(&state.me);
    let advanced = (state.vector.origins())
        .filter(|(origin, upto)| {
            *origin != state.me && before.map_or(0, |before| before.upto(origin)) < *upto
        })
        // What is more is said by the next transaction.
        .take(ORIGINS_MAX)
        .collect();
    TransactionHeader {
        clock,
        advanced,
        holes: state.vector.holes().iter().copied().collect(),
        schema: extra.schema.clone(),
        resolved: extra.resolved.clone(),
    }
}

/// Those of `tables` in which something was captured.
async fn captured<'t>(
    desk: &mut Desk,
    tables: Vec<&'t Table>,
) -> Result<Vec<&'t Table>, TablesError> {
    let mut found = Vec::new();
    for some in tables.chunks(TABLES_PER_STATEMENT) {
        let each = some.iter().map(|table| {
            let new = quoted(&table.new_table());
            format!("SELECT {} WHERE EXISTS (SELECT 1 FROM {new})", table.no)
        });
        let sql = each.collect::<Vec<_>>().join(" UNION ALL ");
        for row in fetch_all(&mut desk.conn, sql, []).await? {
            let no = Columns::of(&row).int()?;
            found.extend(some.iter().find(|table| table.no == no));
        }
    }
    Ok(found)
}

/// The latest accepted clock of all that was captured, for a header that is written before the last of it is read.
async fn latest(desk: &mut Desk) -> Result<HybridClock, TablesError> {
    let mut latest = HybridClock::default();
    // Seldom is there one, and a transaction of many parts has many rows to look through.
    if !accepted::is_any(desk).await? {
        return Ok(latest);
    }
    let catalog = Arc::clone(&desk.state.catalog);
    for table in captured(desk, catalog.tables.values().collect()).await? {
        send_unsent(desk, table).await?;
        let keys = listed(&table.key, |column| quoted(&column.name));
        let sql = format!(
            "SELECT max(clock) FROM (SELECT max(r.clock, ifnull(c.clock, 0)) AS clock \
             FROM {} AS n JOIN {} AS r USING ({keys}) LEFT JOIN {} AS c USING ({keys}, col)) \
             WHERE clock >> 16 IN (SELECT millis FROM mesh_accepted)",
            quoted(&table.new_table()),
            quoted(&table.row_table()),
            quoted(&table.cell_table())
        );
        let row = fetch_optional(&mut desk.conn, sql, []).await?;
        let clock = row.map_or(Ok(None), |row| Columns::of(&row).int_or_none())?;
        latest = latest.max(HybridClock(clock.unwrap_or_default().cast_unsigned()));
    }
    Ok(latest)
}

/// The statements that write the last part and give the next number, for one trip to SQLite's thread; and how
/// many rows cannot travel.
async fn ending(
    desk: &mut Desk,
    mut parts: Parts,
    tables: &[&Table],
) -> Result<(Last, usize), TablesError> {
    let Dot { origin, sequence } = parts.dot;
    let mut last = parts.last(desk).await?;
    for table in tables {
        last.sql.push_str(";DELETE FROM ");
        last.sql.push_str(&quoted(&table.new_table()));
    }
    // Numbered behind the seven values of the entry of the log.
    last.sql.push_str(
        ";UPDATE mesh_state SET sequence = ?8, dirty = 0 WHERE id = 1\
         ;INSERT INTO mesh_vector (origin, upto, floor) VALUES (?2, ?3, 0) \
         ON CONFLICT (origin) DO UPDATE SET upto = max(upto, excluded.upto)",
    );
    last.values.push(number(sequence + 1));
    Arc::make_mut(&mut desk.state.vector).advance(origin, sequence);
    Ok((last, parts.unsent))
}

/// Notes what this database had applied of others at its latest transaction.
async fn note_context(
    desk: &mut Desk,
    advanced: &[(OriginId, u64)],
    sequence: u64,
) -> Result<(), TablesError> {
    let me = desk.state.me;
    for (origin, upto) in advanced {
        let other = desk.state.origin_no(&mut desk.conn, *origin).await?;
        let sql = "INSERT INTO mesh_contexts (origin, other, upto) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (origin, other) DO UPDATE SET upto = excluded.upto";
        let values = [SqlValue::Integer(desk.state.my_no), SqlValue::Integer(other), number(*upto)];
        execute(&mut desk.conn, sql, values).await?;
    }
    if !advanced.is_empty() {
        let contexts: &mut BTreeMap<_, _> = Arc::make_mut(&mut desk.state.contexts);
        let mine = contexts.entry(me).or_default();
        for (origin, upto) in advanced {
            mine.advance(*origin, *upto);
        }
        mine.advance(me, sequence);
    }
    Ok(())
}
