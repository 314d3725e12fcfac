//! One transaction meets the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_protocol::{
    Dot, HybridClock, Incoming, RowChange, Section, SqlValue, TransactionHeader, TransactionPart,
    UnixMillis, Version, VersionVector,
};

use super::batch::{Batch, Entry};
use super::spool;
use crate::catalog::Table;
use crate::conflicts;
use crate::desk::Desk;
use crate::effect::Effect;
use crate::error::{primary_code, sqlite_code};
use crate::key;
use crate::parked::ParkReason;
use crate::recent::tables_of;
use crate::rows::{PlannedRow, drop_losers, read_losers, read_row_facts, write_plans};
use crate::schema::{self, SchemaOutcome};
use crate::snapshot::covered::already_known;
use crate::sql::{Columns, execute, fetch_optional};
use crate::{TablesError, accepted};

/// Changes that are read, merged and written together.
const CHANGES_TOGETHER: usize = 128;

/// A whole transaction.
pub(crate) struct Transaction {
    pub(crate) dot: Dot,
    pub(crate) header: TransactionHeader,
    pub(crate) bodies: Bodies,
}

pub(crate) enum Bodies {
    /// A single part, decoded and as it came.
    One(TransactionPart, Vec<u8>),
    /// In `mesh_spool`.
    Spooled,
}

/// Why a transaction was not applied.
pub(crate) enum Failure {
    /// It cannot be; the others can.
    Park(ParkReason, String),
    /// The database is at fault.
    Error(TablesError),
}

impl From<TablesError> for Failure {
    /// What SQLite says about values is about the transaction, the rest about the database.
    fn from(error: TablesError) -> Self {
        let refuses_value = |source| {
            [Some(sqlite_code::MISMATCH), Some(sqlite_code::TOO_BIG)]
                .contains(&primary_code(source))
        };
        // A function in a CHECK may fail as well: that is a failure of the statement.
        let is_of_values =
            matches!(error, TablesError::Constraint { .. } | TablesError::Statement { .. })
                || matches!(&error, TablesError::Database { source } if refuses_value(source));
        if is_of_values {
            Self::Park(ParkReason::Constraint, error.to_string())
        } else {
            Self::Error(error)
        }
    }
}

/// Applies a transaction and logs it, or leaves everything as it was and says why.
pub(crate) async fn attempt(
    desk: &mut Desk,
    batch: &mut Batch,
    transaction: &mut Transaction,
    context: &VersionVector,
) -> Result<Result<(), (ParkReason, String)>, TablesError> {
    let outcome = attempt_once(desk, batch, transaction, context).await;
    if outcome.as_ref().is_err_and(is_of_memory) {
        batch.too_large.add(transaction.dot);
    }
    outcome
}

/// Whether SQLite had too little memory. sqlx's thread may end of that.
pub(super) fn is_of_memory(error: &TablesError) -> bool {
    let TablesError::Database { source } = error else { return false };
    primary_code(source) == Some(sqlite_code::NOMEM)
        || matches!(**source, sqlx::Error::WorkerCrashed)
}

async fn attempt_once(
    desk: &mut Desk,
    batch: &mut Batch,
    transaction: &mut Transaction,
    context: &VersionVector,
) -> Result<Result<(), (ParkReason, String)>, TablesError> {
    if matches!(transaction.bodies, Bodies::Spooled) {
        batch.flush_log(desk).await?;
    }
    if batch.is_bold {
        return match content(desk, batch, transaction, context).await {
            Ok(entries) => {
                keep_track(desk, batch, transaction, entries).await?;
                Ok(Ok(()))
            }
            Err(Failure::Park(reason, detail)) => Ok(Err((reason, detail))),
            Err(Failure::Error(error)) => Err(error),
        };
    }
    execute(&mut desk.conn, "SAVEPOINT mesh_apply", []).await?;
    let before = desk.state.clone();
    match content(desk, batch, transaction, context).await {
        Ok(entries) => {
            drop(before);
            execute(&mut desk.conn, "RELEASE mesh_apply", []).await?;
            keep_track(desk, batch, transaction, entries).await?;
            Ok(Ok(()))
        }
        Err(Failure::Park(reason, detail)) => {
            execute(&mut desk.conn, "ROLLBACK TO mesh_apply", []).await?;
            execute(&mut desk.conn, "RELEASE mesh_apply", []).await?;
            desk.state = before;
            Ok(Err((reason, detail)))
        }
        Err(Failure::Error(error)) => Err(error),
    }
}

/// Notes what follows from a transaction that was applied.
async fn keep_track(
    desk: &mut Desk,
    batch: &mut Batch,
    transaction: &Transaction,
    entries: Vec<Entry>,
) -> Result<(), TablesError> {
    batch.log(desk, entries).await?;
    batch.saw_clock(desk, transaction.header.clock);
    if matches!(transaction.bodies, Bodies::Spooled) {
        spool::drop_parts(desk, transaction.dot).await?;
    }
    Ok(())
}

async fn content(
    desk: &mut Desk,
    batch: &Batch,
    transaction: &mut Transaction,
    context: &VersionVector,
) -> Result<Vec<Entry>, Failure> {
    let Transaction { dot, header, bodies } = transaction;
    for change in &header.schema {
        let version =
            Version { life: 1, clock: header.clock, origin: dot.origin, sequence: dot.sequence };
        match schema::apply_schema(desk, change, version).await? {
            SchemaOutcome::Applied | SchemaOutcome::Same => {}
            SchemaOutcome::SetAside { table } => {
                tracing::warn!(%table, "another definition of this table was made earlier");
            }
            SchemaOutcome::UnknownTable { table } => {
                return Err(Failure::Park(ParkReason::UnknownTable, table.to_string()));
            }
            SchemaOutcome::Impossible { detail } => {
                return Err(Failure::Park(ParkReason::Constraint, detail));
            }
        }
    }
    let made = Made { dot: *dot, clock: header.clock, context, at: batch.at };
    let entries = match bodies {
        Bodies::One(part, body) => {
            let tables = tables_of(&part.sections);
            let effect = apply_part(desk, &made, part).await?;
            let (part, body) = (part.part, body.clone());
            vec![Entry { dot: *dot, part, is_last: true, body, effect, tables }]
        }
        Bodies::Spooled => {
            let mut number = 0;
            loop {
                let body = spool::read(desk, *dot, number).await?;
                let mut part = TransactionPart::decode(&body)
                    .map_err(|_| TablesError::Malformed { what: "transaction" })?;
                let tables = tables_of(&part.sections);
                let effect = apply_part(desk, &made, &mut part).await?;
                let is_last = part.is_last;
                let entry = Entry { dot: *dot, part: number, is_last, body, effect, tables };
                batch.log_now(desk, entry).await?;
                number += 1;
                if is_last {
                    break Vec::new();
                }
            }
        }
    };
    for resolved in &header.resolved {
        let Some(table) = desk.state.catalog.tables.get(&resolved.table) else { continue };
        let column = resolved.column.as_deref();
        let id = key::loser_id(table, &resolved.key, column, &resolved.version);
        drop_losers(&mut desk.conn, &[id]).await?;
    }
    Ok(entries)
}

/// What all changes of a transaction share.
struct Made<'t> {
    dot: Dot,
    clock: HybridClock,
    context: &'t VersionVector,
    at: UnixMillis,
}

async fn apply_part(
    desk: &mut Desk,
    made: &Made<'_>,
    part: &mut TransactionPart,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut effect = Effect::default();
    for section in std::mem::take(&mut part.sections) {
        effect.begin(&section);
        let id = section.table;
        if !desk.state.catalog.tables.contains_key(&id) {
            if is_dropped(desk, &section).await? {
                effect.skip();
                continue;
            }
            return Err(Failure::Park(ParkReason::UnknownTable, id.to_string()));
        }
        note_coverage(desk, made.dot, &section).await?;
        let catalog = Arc::clone(&desk.state.catalog);
        if let Some(table) = catalog.tables.get(&id) {
            apply_section(desk, made, table, section, &mut effect).await?;
        }
    }
    Ok(effect.encode(part, made.clock)?)
}

async fn is_dropped(desk: &mut Desk, section: &Section) -> Result<bool, TablesError> {
    let sql = "SELECT state = 'dropped' FROM mesh_tables WHERE table_id = ?";
    let id = SqlValue::Blob(section.table.as_bytes().to_vec());
    let row = fetch_optional(&mut desk.conn, sql, [id]).await?;
    row.map_or(Ok(false), |row| Columns::of(&row).flag())
}

/// Numbers of the section's columns.
fn numbers(table: &Table, section: &Section) -> Result<Vec<u16>, Failure> {
    let no_of = |name: &String| {
        let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        let detail = || format!("{}.{name}", table.name);
        column
            .map(|column| column.no)
            .ok_or_else(|| Failure::Park(ParkReason::UnknownColumn, detail()))
    };
    section.columns.iter().map(no_of).collect()
}

/// Whole rows of this origin cover the section's columns from this transaction on.
async fn note_coverage(desk: &mut Desk, dot: Dot, section: &Section) -> Result<(), Failure> {
    let Some(table) = desk.state.catalog.tables.get(&section.table) else { return Ok(()) };
    if table.coverage.is_empty() {
        return Ok(());
    }
    let origin = desk.state.origin_no(&mut desk.conn, dot.origin).await?;
    let Some(table) = desk.state.catalog.tables.get(&section.table) else { return Ok(()) };
    let is_new = |no: &u16| {
        let from = table.coverage.get(no);
        from.is_some_and(|from| from.get(&origin).is_none_or(|from| *from > dot.sequence))
    };
    let columns: Vec<u16> = numbers(table, section)?.into_iter().filter(is_new).collect();
    let table_no = table.no;
    for column in columns {
        let sql = "INSERT INTO mesh_coverage (table_no, column, origin, sequence) VALUES (?, ?, ?, ?) \
                   ON CONFLICT DO UPDATE SET sequence = min(sequence, excluded.sequence)";
        let sequence = crate::sql::number(dot.sequence);
        let (table_no, origin_no) = (SqlValue::Integer(table_no), SqlValue::Integer(origin));
        let values = [table_no, SqlValue::Integer(column.into()), origin_no, sequence];
        execute(&mut desk.conn, sql, values).await?;
        let catalog = Arc::make_mut(&mut desk.state.catalog);
        let table = catalog.tables.get_mut(&section.table);
        let from = table.and_then(|table| table.coverage.get_mut(&column));
        if let Some(from) = from {
            from.insert(origin, dot.sequence);
        }
    }
    Ok(())
}

/// A change with what the rules have to know of it.
struct Change {
    change: RowChange,
    columns: Vec<(u16, HybridClock)>,
    listed: Vec<(u16, Version)>,
}

async fn apply_section(
    desk: &mut Desk,
    made: &Made<'_>,
    table: &Table,
    section: Section,
    effect: &mut Effect,
) -> Result<(), Failure> {
    let numbers = numbers(table, &section)?;
    let table_columns: Vec<u16> = table.columns.iter().map(|column| column.no).collect();
    if desk.is_ahead(made.clock, made.at) {
        let clocks: Vec<_> = section.changes.iter().flat_map(accepted::clocks).collect();
        accepted::note(desk, clocks.into_iter(), made.at).await?;
    }
    let mut listed: BTreeMap<u32, Vec<(u16, Version)>> = BTreeMap::new();
    for one in &section.listed {
        let column = numbers.get(usize::from(one.column)).copied().unwrap_or_default();
        listed.entry(one.change).or_default().push((column, one.version));
    }
    let (mut together, mut keys) = (Vec::new(), BTreeSet::new());
    for (change, index) in section.changes.into_iter().zip(0..) {
        let is_sound = change.clock() <= made.clock && change.key().len() == table.key.len();
        if !is_sound {
            let detail = format!("a change of {} contradicts its transaction", table.name);
            return Err(Failure::Park(ParkReason::Constraint, detail));
        }
        // Changes of the same row meet one after the other.
        let canonical = key::canonical(table, change.key());
        if together.len() == CHANGES_TOGETHER || keys.contains(&canonical) {
            let changes = std::mem::take(&mut together);
            merge(desk, made, table, &table_columns, changes, effect).await?;
            keys.clear();
        }
        keys.insert(canonical);
        let columns = columns_of(&change, &numbers);
        let listed = listed.remove(&index).unwrap_or_default();
        together.push(Change { change, columns, listed });
    }
    merge(desk, made, table, &table_columns, together, effect).await
}

fn columns_of(change: &RowChange, numbers: &[u16]) -> Vec<(u16, HybridClock)> {
    match change {
        RowChange::Put { clock, .. } => numbers.iter().map(|no| (*no, *clock)).collect(),
        RowChange::Delete { .. } => Vec::new(),
        RowChange::Edit { cells, .. } => (cells.iter())
            .filter_map(|cell| Some((*numbers.get(usize::from(cell.column))?, cell.clock)))
            .collect(),
    }
}

async fn merge(
    desk: &mut Desk,
    made: &Made<'_>,
    table: &Table,
    table_columns: &[u16],
    changes: Vec<Change>,
    effect: &mut Effect,
) -> Result<(), Failure> {
    let count = changes.len();
    let is_new =
        |change: &Change| !already_known(&desk.state, table, change.change.key(), &made.dot);
    let changes: Vec<Change> = changes.into_iter().filter(is_new).collect();
    if changes.len() < count {
        effect.skip();
    }
    let keys: Vec<Vec<SqlValue>> =
        changes.iter().map(|change| change.change.key().clone()).collect();
    let origins = Arc::clone(&desk.state.origins);
    let mut facts = read_row_facts(&mut desk.conn, &origins, table, &keys).await?;
    if desk.may_have_losers {
        read_losers(&mut desk.conn, &origins, table, &keys, &mut facts).await?;
    }
    let mut rows = Vec::with_capacity(changes.len());
    for ((Change { change, columns, listed }, before), key) in
        changes.into_iter().zip(facts).zip(keys)
    {
        let (row_clock, values) = match &change {
            RowChange::Put { clock, values, .. } => (Some(*clock), values.clone()),
            RowChange::Delete { clock, .. } => (Some(*clock), Vec::new()),
            RowChange::Edit { cells, .. } => {
                (None, cells.iter().map(|cell| cell.value.clone()).collect())
            }
        };
        let incoming = Incoming {
            dot: made.dot,
            context: made.context,
            life: change.life(),
            row_clock,
            columns: &columns,
            table_columns,
            listed: &listed,
        };
        let plan = desk.rules.merge(&before.facts, &incoming);
        let columns = columns.into_iter().map(|(no, _)| no).collect();
        let row = PlannedRow { key, columns, values, before, plan, ..PlannedRow::default() };
        effect.add(change, &row);
        rows.push(row);
    }
    let listed = write_plans(&mut desk.conn, &origins, table, &rows, made.at).await?;
    desk.may_have_losers |= listed > 0;
    Ok(conflicts::note_listed(desk, listed).await?)
}
